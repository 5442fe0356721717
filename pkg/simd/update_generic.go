//go:build !amd64

package simd

func descend(p, g []float32, s *Descent)            { descendPortable(p, g, s) }
func descendMomentum(p, b, g []float32, s *Descent) { descendMomentumPortable(p, b, g, s) }
func descendNesterov(p, b, g []float32, s *Descent) { descendNesterovPortable(p, b, g, s) }
func adam(p, m, v, g []float32, s *Adam)            { adamPortable(p, m, v, g, s) }
