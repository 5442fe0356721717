package simd

import (
	"testing"
)

// onBoth returns what f computes with 256-bit and with 512-bit registers. Where the CPU has only one of them both are the same.
func onBoth(f func() []float32) (narrow, wide []float32) {
	before := hasAVX512
	defer func() { hasAVX512 = before }()
	hasAVX512 = false
	narrow = f()
	hasAVX512 = before
	return narrow, f()
}

// The two paths share a numerics profile: every result must be the same to the bit.
func TestWideTilesGiveTheBitsOfNarrowOnes(t *testing.T) {
	for _, m := range []int{1, 2, 3, 6, 7, 13, 14, 15, 29, 64} {
		for _, n := range []int{1, 8, 15, 16, 17, 31, 32, 33, 48, 70} {
			for _, k := range []int{1, 3, 4, 9, 64, 300} {
				for flags := range 4 {
					tA, tB := flags&1 != 0, flags&2 != 0
					a, b := random(m*k, 1), random(n*k, 2)
					narrow, wide := onBoth(func() []float32 {
						c := random(m*n, 3)
						Gemm(tA, tB, m, n, k, 0.7, a, pick(tA, m, k), b, pick(tB, k, n), 0.3, c, n)
						return c
					})
					wantSame(t, wide, narrow)
				}
			}
		}
	}
}

func TestWideConvolutionsGiveTheBitsOfNarrowOnes(t *testing.T) {
	var all []Conv
	for _, k := range []int{1, 2, 3, 5, 7} {
		for _, stride := range []int{1, 2, 3} {
			for _, channels := range [][2]int{{1, 3}, {3, 16}, {7, 33}, {8, 32}, {17, 40}, {32, 64}} {
				for _, size := range [][3]int{{1, 20, 17}, {3, 8, 8}, {17, 4, 4}} {
					all = append(all, Conv{size[0], size[1], size[2], channels[0], channels[1], k, stride, k / 2})
				}
			}
		}
	}
	// Rows a multiple of 4 KB apart, and maps that are cut in blocks of lines.
	all = append(all, Conv{16, 4, 4, 64, 64, 3, 1, 1}, Conv{2, 32, 32, 32, 32, 3, 1, 1}, Conv{2, 2, 2, 512, 512, 3, 1, 1})
	for _, c := range all {
		x, w, dy := convOperands(c)
		narrow, wide := onBoth(func() []float32 {
			out := make([]float32, len(dy)+len(x)+len(w))
			y, dx, dw := out[:len(dy)], out[len(dy):len(dy)+len(x)], out[len(dy)+len(x):]
			c.Forward(y, x, w)
			c.BackwardData(dx, dy, w)
			c.BackwardWeights(dw, dy, x)
			return out
		})
		wantSame(t, wide, narrow)
	}
}
