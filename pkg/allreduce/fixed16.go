package allreduce

import (
	"math/bits"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// int16 has less room than a gradient has digits: rounding to the nearest would lose small values for good, always alike. Rounded at random,
// their mean survives. The draws are keyed by seed, step, which sum of the step, virtual rank and element, so that a value is rounded alike
// on whatever rank, and again when a step is repeated.

// smallest16 is the least exponent of a block: smaller blocks are rounded as if they had it, so that scales stay within float32.
const smallest16 = -90

// valueBits16 is how many bits, sign apart, each of v virtual ranks may use so that the sum of all fits an int16.
func valueBits16(v int) int { return 15 - bits.Len(uint(v-1)) }

// narrow is the part of a fixedPoint that is its own with 16 bits. |value| ≤ 2^bits − 1 after rounding, whatever the draw.
type narrow struct {
	draws []simd.Draws // one for each owned virtual rank
}

func newNarrow(key keyed.Key, step, sum uint64, lo, hi int) *narrow {
	c := &narrow{}
	for v := lo; v < hi; v++ {
		k := key.At(step, sum, uint64(v)).Uint64(0)
		c.draws = append(c.draws, simd.Draws{A: uint32(k), B: uint32(k >> 32)})
	}
	return c
}

// scale16 and unit16 take values of a block with an exponent to integers and back; the former is 2¹⁶ times what it says, as simd wants it.
func scale16(exponent byte, bits int) float32 {
	return float32(float64(int(1)<<bits-1) * pow2(16-max(exponent2(exponent), smallest16)))
}

func unit16(exponent byte, bits int) float32 {
	return float32(pow2(max(exponent2(exponent), smallest16)) / float64(int(1)<<bits-1))
}

// set16 is set with 16 bits.
func (c *fixedPoint) set16(q []int16, lo int) {
	c.eachBlock16(q, lo, func(q []int16, lo int, e byte) {
		if e == notFinite {
			clear(q)
			return
		}
		scale := scale16(e, c.bits)
		for k, x := range c.own {
			d := c.narrow.draws[k]
			d.First = uint32(lo)
			if k == 0 {
				simd.EncodeFixed16(q, x[lo:], scale, d)
			} else {
				simd.AddFixed16(q, x[lo:], scale, d)
			}
		}
	})
}

// add16 is add with 16 bits.
func (c *fixedPoint) add16(q []int16, lo int) {
	c.eachBlock16(q, lo, func(q []int16, lo int, e byte) {
		if e == notFinite {
			return
		}
		scale := scale16(e, c.bits)
		for k, x := range c.own {
			d := c.narrow.draws[k]
			d.First = uint32(lo)
			simd.AddFixed16(q, x[lo:], scale, d)
		}
	})
}

// result16 is result with 16 bits.
func (c *fixedPoint) result16(q []int16, lo int) {
	c.eachBlock16(q, lo, func(q []int16, lo int, e byte) {
		simd.DecodeFixed16(c.sum[lo:lo+len(q)], q, unit16(e, c.bits))
		c.check(e, lo/Block)
	})
}

func (c *fixedPoint) eachBlock16(q []int16, lo int, f func(q []int16, lo int, exponent byte)) {
	for len(q) > 0 {
		n := min(Block, len(q))
		f(q[:n], lo, c.exponents[lo/Block])
		q, lo = q[n:], lo+n
	}
}
