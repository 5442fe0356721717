package simd

import "fmt"

// The conversions below have the same bits in every profile. They round at random: to one of the two neighbouring integers, with the
// probability that makes the mean right. The draw of an element is a function of its key and number, so that a value is rounded alike
// wherever and however often that is done.

// Draws keys the random rounding of a run of elements. Other keys give other draws; consecutive elements of one key are independent.
type Draws struct {
	A, B  uint32 // the key: 64 random bits
	First uint32 // number of the run's first element
}

// EncodeFixed16 writes x[i]·scale/2¹⁶, rounded at random, to q, over all of q. |x[i]·scale| must be below 2³¹ − 2¹⁶; other products, and
// NaN, give any number.
func EncodeFixed16(q []int16, x []float32, scale float32, d Draws) {
	wantLen("EncodeFixed16", "x", x, len(q))
	encodeFixed16(q, x[:len(q)], scale, d)
}

// AddFixed16 is [EncodeFixed16] on top of what q holds; a sum that is no int16 wraps around.
func AddFixed16(q []int16, x []float32, scale float32, d Draws) {
	wantLen("AddFixed16", "x", x, len(q))
	addFixed16(q, x[:len(q)], scale, d)
}

// DecodeFixed16 writes q[i]·unit, rounded, to x, over all of x.
func DecodeFixed16(x []float32, q []int16, unit float32) {
	if len(q) < len(x) {
		panic(fmt.Sprintf("simd: DecodeFixed16: q has %d elements, the operation covers %d", len(q), len(x)))
	}
	decodeFixed16(x, q[:len(x)], unit)
}
