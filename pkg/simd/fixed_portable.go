package simd

import "math"

func maxMagnitudePortable(x []float32) uint32 {
	m := uint32(0)
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return m
}

// toInteger turns y, |y| < 2^51, into the nearest integer, ties to even, in the low bits of the sum: adding 1.5·2^52 leaves a float64 no
// bits for fractions (a known trick, e.g. Hacker's Delight, 2nd ed., section 17-3).
const toInteger = 0x1.8p52

// encoded is v·scale as an integer; scale is a power of two, so the product of a float32 in float64 is exact and the value is rounded once.
func encoded(v float32, scale float64) int32 {
	return int32(uint32(math.Float64bits(float64(float64(v)*scale) + toInteger)))
}

func encodeFixedPortable(q []int32, x []float32, half, rest float32) {
	scale := float64(half) * float64(rest)
	for i, v := range x {
		q[i] = encoded(v, scale)
	}
}

func addFixedPortable(q []int32, x []float32, half, rest float32) {
	scale := float64(half) * float64(rest)
	for i, v := range x {
		q[i] += encoded(v, scale)
	}
}

// decodeFixedPortable rounds once: int32 times a power of two is exact in float64.
func decodeFixedPortable(x []float32, q []int32, unit float64) {
	for i, v := range q {
		x[i] = float32(float64(v) * unit)
	}
}
