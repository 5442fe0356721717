package simd

import "fmt"

// Conv is the geometry of a two-dimensional convolution with a square kernel and zero padding: x is (N, H, W, Cin), w is (K, K, Cin, Cout), y is
// (N, OutH, OutW, Cout). As in the usual frameworks it is a cross-correlation: y[n,i,j] = Σ x[n, i·Stride+u−Pad, j·Stride+v−Pad]·w[u,v].
// No patch matrix is built: tiles read x in place, and taps that fall on the padding are left out rather than multiplied by zero.
type Conv struct{ N, H, W, Cin, Cout, K, Stride, Pad int }

// OutH returns the height of the output.
func (c Conv) OutH() int { return (c.H+2*c.Pad-c.K)/c.Stride + 1 }

// OutW returns the width of the output.
func (c Conv) OutW() int { return (c.W+2*c.Pad-c.K)/c.Stride + 1 }

// Forward computes y from x and w, overwriting y. A value of y is one chain of multiply-adds over the taps inside the image, row by row,
// and over the channels of each.
func (c Conv) Forward(y, x, w []float32) {
	c.check("Forward", "y", y, "x", x, "w", w)
	if c.N == 0 {
		return
	}
	r := convRuns.Get().(*convRun)
	defer r.release()
	r.conv, r.src, r.dst, r.w, r.transposed = c, x, y, w, false
	r.srcImage, r.dstImage = c.H*c.W*c.Cin, c.OutH()*c.OutW()*c.Cout
	r.depth, r.cols = c.Cin, c.Cout
	r.planForward()
	r.execute()
}

// BackwardData computes dx, the gradient with respect to x, from dy and w, overwriting dx. The order of a sum is that of Forward, with the
// channels of y.
func (c Conv) BackwardData(dx, dy, w []float32) {
	c.check("BackwardData", "dy", dy, "dx", dx, "w", w)
	if c.N == 0 {
		return
	}
	r := convRuns.Get().(*convRun)
	defer r.release()
	r.conv, r.src, r.dst, r.w, r.transposed = c, dy, dx, w, true
	r.srcImage, r.dstImage = c.OutH()*c.OutW()*c.Cout, c.H*c.W*c.Cin
	r.depth, r.cols = c.Cout, c.Cin
	r.planBackward()
	r.execute()
}

func (c Conv) check(op, outName string, out []float32, inName string, in []float32, wName string, w []float32) {
	if c.N < 0 || c.H < 1 || c.W < 1 || c.Cin < 1 || c.Cout < 1 || c.K < 1 || c.Stride < 1 || c.Pad < 0 ||
		c.H+2*c.Pad < c.K || c.W+2*c.Pad < c.K {
		panic(fmt.Sprintf("simd: Conv.%s: no such convolution: %+v (sizes ≥ 1, and the padded image at least as large as the kernel)", op, c))
	}
	for _, s := range []struct {
		name       string
		have, need int
	}{
		{outName, len(out), c.N * c.OutH() * c.OutW() * c.Cout},
		{inName, len(in), c.N * c.H * c.W * c.Cin},
		{wName, len(w), c.K * c.K * c.Cin * c.Cout},
	} {
		if s.have < s.need {
			panic(fmt.Sprintf("simd: Conv.%s: %s has %d elements, %+v needs %d", op, s.name, s.have, c, s.need))
		}
	}
}
