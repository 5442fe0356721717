package simd

import "math"

func descendPortable(p, g []float32, s *Descent) {
	for i, w := range p {
		p[i] = w - float32(s.LR*(g[i]+float32(s.Decay*w)))
	}
}

func descendMomentumPortable(p, b, g []float32, s *Descent) {
	for i, w := range p {
		d := g[i] + float32(s.Decay*w)
		b[i] = float32(s.Momentum*b[i]) + float32(s.Rate*d)
		p[i] = w - float32(s.LR*b[i])
	}
}

func descendNesterovPortable(p, b, g []float32, s *Descent) {
	for i, w := range p {
		d := g[i] + float32(s.Decay*w)
		b[i] = float32(s.Momentum*b[i]) + d
		p[i] = w - float32(s.LR*(d+float32(s.Momentum*b[i])))
	}
}

func adamPortable(p, m, v, g []float32, s *Adam) {
	for i, w := range p {
		d := g[i] + float32(s.Decay*w)
		mean := m[i] + float32((d-m[i])*s.New1)
		square := float32(v[i]*s.Beta2) + float32(float32(d*d)*s.New2)
		m[i], v[i] = mean, square
		denominator := float32(float32(math.Sqrt(float64(square)))*s.InvRoot) + s.Eps
		p[i] = float32(w*s.Keep) - float32(s.Size*mean)/denominator
	}
}
