package simd

import (
	"fmt"
	"math"
)

// The conversions below have the same bits in every profile.

// MaxMagnitude returns the bits of the largest |x[i]|, 0 for none. Bits of larger numbers are larger; Inf (0x7f800000) is above all numbers, and
// NaN above Inf.
func MaxMagnitude(x []float32) uint32 { return maxMagnitude(x) }

// EncodeFixed writes x[i]·scale to q, rounded to the nearest integer, ties to even, over all of q. scale is a power of two between 2⁻²⁰⁰ and
// 2²⁰⁰. A product that rounds to no int32, and NaN, give any number.
func EncodeFixed(q []int32, x []float32, scale float64) {
	wantLen("EncodeFixed", "x", x, len(q))
	half, rest := halves("EncodeFixed", scale)
	encodeFixed(q, x[:len(q)], half, rest)
}

// AddFixed is [EncodeFixed] on top of what q holds; a sum that is no int32 wraps around.
func AddFixed(q []int32, x []float32, scale float64) {
	wantLen("AddFixed", "x", x, len(q))
	half, rest := halves("AddFixed", scale)
	addFixed(q, x[:len(q)], half, rest)
}

// DecodeFixed writes q[i]·unit to x, rounded once, over all of x. unit is a power of two. Both may lie in the same place.
func DecodeFixed(x []float32, q []int32, unit float64) {
	if len(q) < len(x) {
		panic(fmt.Sprintf("simd: DecodeFixed: q has %d elements, the operation covers %d", len(q), len(x)))
	}
	decodeFixed(x, q[:len(x)], unit)
}

// halves returns two powers of two, float32 both, whose product is scale.
func halves(op string, scale float64) (half, rest float32) {
	bits := math.Float64bits(scale)
	e := int(bits>>52) - 1023 // the sign would be the next bit
	if bits<<12 != 0 || e < -200 || e > 200 {
		panic(fmt.Sprintf("simd: %s: scale %v, expected a power of two between 2^-200 and 2^200", op, scale))
	}
	pow2 := func(n int) float32 { return math.Float32frombits(uint32(n+127) << 23) }
	return pow2(e / 2), pow2(e - e/2)
}
