package simd

import (
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math"
	"testing"
)

// plain returns numbers in [−1, 1) that are the same on every machine.
func plain(n int, seed uint32) []float32 {
	s := make([]float32, n)
	for i := range s {
		seed = seed*1664525 + 1013904223
		s[i] = float32(int32(seed)>>8) / (1 << 23)
	}
	return s
}

// digest hashes the bits of numbers.
type digest struct{ hash.Hash64 }

func (d digest) add(s ...float32) {
	for _, v := range s {
		var word [4]byte
		binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
		d.Write(word[:])
	}
}

// arithmeticDigest hashes results of all kernels whose sums have an order.
func arithmeticDigest() uint64 {
	h := digest{fnv.New64a()}
	add := h.add
	const m, n, k = 19, 35, 530
	a, b, c := plain(m*k, 1), plain(n*k, 2), plain(m*n, 3)
	for flags := range 4 {
		tA, tB := flags&1 != 0, flags&2 != 0
		Gemm(tA, tB, m, n, k, 0.7, a, pick(tA, m, k), b, pick(tB, k, n), 0.3, c, n)
		add(c...)
	}
	for _, g := range []Conv{
		{N: 9, H: 7, W: 7, Cin: 10, Cout: 18, K: 3, Stride: 2, Pad: 1},
		{N: 2, H: 20, W: 17, Cin: 1, Cout: 5, K: 3, Stride: 1, Pad: 1},
	} {
		x, w, dy := plain(g.N*g.H*g.W*g.Cin, 4), plain(g.K*g.K*g.Cin*g.Cout, 5), plain(g.N*g.OutH()*g.OutW()*g.Cout, 6)
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		g.Forward(y, x, w)
		g.BackwardData(dx, dy, w)
		g.BackwardWeights(dw, dy, x)
		add(y...)
		add(dx...)
		add(dw...)
	}
	const rows, cols = 300, 29
	x, y, out := plain(rows*cols, 7), plain(rows*cols, 8), make([]float32, rows*cols)
	row := plain(cols, 9)
	add(Dot(x, y), Sum(x), ExpSum(out, x, 0.5))
	add(out...)
	sums := make([]float32, cols)
	for _, f := range []func(){
		func() { ColumnSum(sums, x, rows, cols) },
		func() { ColumnSqDev(sums, x, row, rows, cols) },
		func() { ColumnDot(sums, x, y, rows, cols) },
		func() { ColumnDotDev(sums, x, y, row, rows, cols) },
	} {
		f()
		add(sums...)
	}
	ScaleShift(out, x, row, row, rows, cols)
	Affine2(out, out, y, row, row, row, rows, cols)
	Axpy(out, 0.3, x)
	add(out...)
	for _, v := range x[:100] {
		add(Exp1(80*v), Log(v*v), Sqrt(v*v))
	}
	return h.Sum64()
}

// columnsDigest hashes results of the passes of batch and group norm.
func columnsDigest() uint64 {
	c := Columns{Groups: 2, Rows: 300, Cols: 29}
	n, values := c.Groups*c.Rows*c.Cols, c.Groups*c.Cols
	x, y, dy := plain(n, 1), plain(n, 2), plain(n, 3)
	f, g, h, mean := plain(values, 4), plain(values, 5), plain(values, 6), plain(values, 7)
	sum, dot, out := make([]float32, values), make([]float32, values), make([]float32, n)
	d := digest{fnv.New64a()}
	for _, pass := range []func(){
		func() { c.Moments(sum, dot, x) },
		func() { c.SumDotDev(sum, dot, dy, x, mean) },
		func() { c.SumDotDevReLU(sum, dot, dy, x, f, g, mean) },
		func() { c.SumDotDevMasked(sum, dot, dy, y, x, mean) },
		func() { c.ScaleShift(out, x, f, g) },
		func() { c.ScaleShiftReLU(out, x, f, g) },
		func() { c.ScaleShiftAddReLU(out, x, y, f, g) },
		func() { c.Affine2(out, x, y, f, g, h) },
		func() { c.Affine2ReLU(out, x, y, f, g, h) },
		func() { c.Affine2Masked(out, dy, x, f, g, h, mean) },
	} {
		pass()
		d.add(sum...)
		d.add(dot...)
		d.add(out...)
	}
	return d.Sum64()
}

// layerDigest hashes results of the kernels of transformers.
func layerDigest() uint64 {
	const rows, cols = 9, 77
	x, y, dy, gamma, beta := plain(rows*cols, 1), plain(rows*cols, 2), plain(rows*cols, 3), plain(cols, 4), plain(cols, 5)
	mean, inv := make([]float32, rows), make([]float32, rows)
	h := digest{fnv.New64a()}
	Scale(x, 6)
	for _, kernel := range []func(y, slope, x []float32){GELU, GELUTanh} {
		kernel(y, dy, x)
		h.add(y...)
		h.add(dy...)
	}
	LayerNorm(y, mean, inv, x, gamma, beta, rows, cols, 1e-6)
	h.add(y...)
	LayerNormBackward(dy, gamma, beta, dy, nil, x, mean, inv, gamma, rows, cols)
	h.add(dy...)
	h.add(gamma...)
	h.add(beta...)
	Softmax(y, rows, cols)
	SoftmaxBackward(dy, y, rows, cols)
	Blend(x, y, dy, 0.3, 0.7, 0.1)
	h.add(y...)
	h.add(dy...)
	h.add(x...)
	return h.Sum64()
}

// A change of these digests is a change of the arithmetic: it needs a new version in the profile's name.
func TestProfileNamesTheArithmetic(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		want := map[string]uint64{
			profileFMA:      0x63d78494c842ea75,
			profilePortable: 0xb0db953673ac95ca,
		}[Profile()]
		if got := arithmeticDigest(); got != want {
			t.Errorf("profile %s computes %#x, want %#x", Profile(), got, want)
		}
		want = map[string]uint64{
			profileFMA:      0x4dbeca4cbb1f76d1,
			profilePortable: 0xd3b1605431c1b71d,
		}[Profile()]
		if got := layerDigest(); got != want {
			t.Errorf("profile %s computes %#x in the layers of transformers, want %#x", Profile(), got, want)
		}
		want = map[string]uint64{
			profileFMA:      0x42edb08e5e032f1a,
			profilePortable: 0xd5a84047a2e96759,
		}[Profile()]
		if got := columnsDigest(); got != want {
			t.Errorf("profile %s computes %#x in norms, want %#x", Profile(), got, want)
		}
	})
}
