//go:build !amd64

package simd

func maxMagnitude(x []float32) uint32 { return maxMagnitudePortable(x) }

func encodeFixed(q []int32, x []float32, half, rest float32) { encodeFixedPortable(q, x, half, rest) }

func addFixed(q []int32, x []float32, half, rest float32) { addFixedPortable(q, x, half, rest) }

func decodeFixed(x []float32, q []int32, unit float64) { decodeFixedPortable(x, q, unit) }
