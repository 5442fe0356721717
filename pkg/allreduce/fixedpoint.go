package allreduce

import (
	"math"
	"math/bits"

	"github.com/sslctl/sslctl/pkg/simd"
)

// Block is the number of elements that share one exponent. Blocks start at element 0 of a tensor; an arena that starts each parameter at
// a multiple of Block keeps parameters apart.
const Block = 128

// A block's exponent is the largest biased exponent (bits 23–30) of its float32 values over all virtual ranks: one byte, whose maximum
// is taken by comparing bytes. 255 says that a value is NaN or Inf.
const notFinite = 255

// scatterBits is the number of bits, sign apart, of a sum that is promised to stay within the bound that scales it.
const scatterBits = 30

func ceilBlocks(n int) int { return (n + Block - 1) / Block }

// valueBits is how many bits, sign apart, each of v virtual ranks may use so that the sum of all fits an int32. For v ≤ 64 that is 25 or
// more, so the 24 significant bits of the largest value in a block are kept and |value| < 2^valueBits holds after rounding: the largest
// float32 below 2^e scales to 2^valueBits − 2^(valueBits−24), a whole number.
func valueBits(v int) int { return 31 - bits.Len(uint(v-1)) }

// exponent2 is the e with |x| < 2^e for every value of a block with this exponent byte. Denormals (byte 0) share the exponent of the
// smallest normal numbers, which makes their scaling exact.
func exponent2(exponent byte) int { return max(int(exponent), 1) - 126 }

// pow2 is 2^n, exactly, for n within ±1022.
func pow2(n int) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// maxExponent is the largest biased exponent in x.
func maxExponent(x []float32) byte { return byte(simd.MaxMagnitude(x) >> 23) }

// fixedPoint is the code of one sum over v virtual ranks.
type fixedPoint struct {
	own       [][]float32 // one for each owned virtual rank
	progress  *progress   // of own; nil: complete
	sum       []float32   // the result
	exponents []byte      // of the blocks, once agreed
	bits      int         // valueBits(v)
	narrow    *narrow     // values are int16 on their way; nil: int32
	overflow  bool        // the result is NaN or Inf; the same on all ranks
}

// blockExponents writes the largest exponents of the own values to dst, for blocks [lo, lo+len(dst)).
func (c *fixedPoint) blockExponents(dst []byte, lo int) {
	for i := range dst {
		from, to := c.span(lo + i)
		m := byte(0)
		for _, x := range c.own {
			m = max(m, maxExponent(x[from:to]))
		}
		dst[i] = m
	}
}

// mergeExponents raises dst to the largest exponents of the own values.
func (c *fixedPoint) mergeExponents(dst []byte, lo int) {
	for i := range dst {
		from, to := c.span(lo + i)
		for _, x := range c.own {
			dst[i] = max(dst[i], maxExponent(x[from:to]))
		}
	}
}

// agree takes over the exponents of blocks [lo, lo+len(src)).
func (c *fixedPoint) agree(src []byte, lo int) {
	copy(c.exponents[lo:], src)
	for _, e := range src {
		if e == notFinite {
			c.overflow = true
		}
	}
}

func (c *fixedPoint) span(block int) (from, to int) {
	return block * Block, min((block+1)*Block, len(c.sum))
}

// set writes the own values of elements [lo, lo+len(q)) to q; lo is a multiple of Block. Own virtual ranks meet as integers: added as
// floats, the result would depend on who owns what.
func (c *fixedPoint) set(q []int32, lo int) {
	c.eachBlock(q, lo, func(q []int32, lo int, e byte) {
		if e == notFinite {
			clear(q)
			return
		}
		scale := pow2(c.bits - exponent2(e))
		for k, x := range c.own {
			if k == 0 {
				simd.EncodeFixed(q, x[lo:], scale)
			} else {
				simd.AddFixed(q, x[lo:], scale)
			}
		}
	})
}

// add is set on top of the partial sums in q.
func (c *fixedPoint) add(q []int32, lo int) {
	c.eachBlock(q, lo, func(q []int32, lo int, e byte) {
		if e == notFinite {
			return
		}
		scale := pow2(c.bits - exponent2(e))
		for _, x := range c.own {
			simd.AddFixed(q, x[lo:], scale)
		}
	})
}

// decode turns the complete sums of the elements from lo on into the floats that they are, in place.
func (c *fixedPoint) decode(p []byte, lo int) {
	c.eachBlock(int32s(p), lo, func(q []int32, lo int, e byte) {
		simd.DecodeFixed(float32s(q), q, pow2(exponent2(e)-c.bits))
	})
}

// result takes decoded sums.
func (c *fixedPoint) result(p []byte, lo int) {
	copy(bytesOf(c.sum[lo:]), p)
	blocks := c.exponents[lo/Block : ceilBlocks(lo+len(p)/4)]
	for i, e := range blocks {
		c.check(e, lo/Block+i)
	}
}

// check notes a sum of large values that exceeds float32: below this exponent no sum of 64 can.
func (c *fixedPoint) check(exponent byte, block int) {
	if exponent >= notFinite-6 {
		from, to := c.span(block)
		c.overflow = c.overflow || maxExponent(c.sum[from:to]) == notFinite
	}
}

func (c *fixedPoint) eachBlock(q []int32, lo int, f func(q []int32, lo int, exponent byte)) {
	for len(q) > 0 {
		n := min(Block, len(q))
		f(q[:n], lo, c.exponents[lo/Block])
		q, lo = q[n:], lo+n
	}
}
