package simd

import "math"

func expPortable(x float32) float32 {
	switch {
	case x != x:
		return x
	case x < expLow:
		x = expLow
	case x > expHigh:
		x = expHigh
	}
	n := float32(math.RoundToEven(float64(float32(x * log2E))))
	r := x - float32(n*ln2High)
	r -= float32(n * ln2Low)
	s := float32(expTerm7)
	s = expTerm6 + float32(s*r)
	s = expTerm5 + float32(s*r)
	s = expTerm4 + float32(s*r)
	s = expTerm3 + float32(s*r)
	s = expTerm2 + float32(s*r)
	s = 1 + float32(s*r)
	s = 1 + float32(s*r)
	k := int32(n)
	half := k >> 1
	return float32(s*powerOfTwo(half)) * powerOfTwo(k-half)
}

// powerOfTwo returns 2ᵏ for −126 ≤ k ≤ 127.
func powerOfTwo(k int32) float32 { return math.Float32frombits(uint32(k+127) << 23) }

func expBlockPortable(dst, x []float32, shift float32) float32 {
	var lanes [8]float32
	for i, v := range x {
		e := expPortable(v - shift)
		dst[i] = e
		lanes[i%8] += e
	}
	return sumEight(&lanes)
}
