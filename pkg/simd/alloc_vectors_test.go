//go:build !race

package simd

import "testing"

// Long enough for two threads where an operation uses them. The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestVectorsAndLayersDoNotAllocate(t *testing.T) {
	SetThreads(2)
	t.Cleanup(func() { SetThreads(0) })
	const rows, cols = 512, 64
	x, y, z, w := random(rows*cols, 1), random(rows*cols, 2), random(rows*cols, 3), random(rows*cols, 4)
	a, b, c, means, invStd := random(cols, 5), random(cols, 6), random(cols, 7), make([]float32, rows), make([]float32, rows)
	fixed := make([]int32, len(x))
	columns := Columns{Groups: 2, Rows: rows / 2, Cols: cols}
	f, g, h, m := random(2*cols, 8), random(2*cols, 9), random(2*cols, 10), random(2*cols, 11)
	adam, descent := &Adam{Keep: 1, New1: 0.1, Beta2: 0.9, New2: 0.1, Size: 1e-3, InvRoot: 1, Eps: 1e-8}, &Descent{LR: 1e-3, Momentum: 0.9, Rate: 1}
	pool := Pool{N: 8, H: 8, W: 8, C: 64, K: 2, Stride: 2}
	var total float64
	for name, call := range map[string]func(){
		"elements": func() {
			Add(x, y)
			Axpy(x, 0.1, y)
			Blend(x, y, z, 0.5, 0.5, 0)
			Mul(x, y)
			Scale(x, 0.5)
			Exp(x, y)
		},
		"sums": func() { total += float64(Dot(x, y) + Max(x) + Sum(x)) },
		"rows": func() {
			AddRow(x, a, rows, cols)
			ScaleShift(y, x, a, b, rows, cols)
			Affine2(z, x, y, a, b, c, rows, cols)
		},
		"columns":   func() { ColumnSum(a, x, rows, cols); ColumnDot(a, x, y, rows, cols) },
		"deviation": func() { ColumnSqDev(a, x, b, rows, cols); ColumnDotDev(a, x, y, b, rows, cols) },
		"norms of maps": func() {
			columns.Moments(m, g, x)
			columns.ScaleShift(y, x, f, h)
			columns.ScaleShiftReLU(y, x, f, h)
			columns.ScaleShiftAddReLU(y, x, z, f, h)
			columns.SumDotDev(f, g, y, x, m)
			columns.SumDotDevReLU(f, g, y, x, m, h, m)
			columns.SumDotDevMasked(f, g, z, y, x, m)
			columns.Affine2(z, x, y, f, g, h)
			columns.Affine2ReLU(z, x, y, f, g, h)
			columns.Affine2Masked(w, z, x, f, h, g, h)
		},
		"layer norm": func() {
			LayerNorm(y, means, invStd, x, a, b, rows, cols, 1e-5)
			LayerNormBackward(z, f, g, y, nil, x, means, invStd, a, rows, cols)
		},
		"softmax": func() { Softmax(x, rows, cols); SoftmaxBackward(y, x, rows, cols) },
		"GELU": func() {
			GELU(y, z, x)
			GELUTanh(y, z, x)
			AddRowGELU(y, z, a, rows, cols)
			AddRowAndMatrix(y, a, x, rows, cols)
		},
		"ReLU":    func() { ReLU(y, x); ReLUBackward(z, x, y) },
		"average": func() { pool.Average(y[:len(x)/4], x); pool.AverageBackward(z, y[:len(x)/4]) },
		"updates": func() {
			adam.Update(x, w, z, y)
			descent.Descend(x, y)
			descent.DescendMomentum(x, w, y)
			descent.DescendNesterov(x, w, y)
		},
		"squares": func() { total += Squares(x) + SquaresDecayed(x, y, 0.1) },
		"fixed point": func() {
			total += float64(MaxMagnitude(x))
			EncodeFixed(fixed, y, 4)
			AddFixed(fixed, y, 4)
			DecodeFixed(y, fixed, 0.25)
		},
	} {
		call()
		// A collection may empty the pools now and then: the average over many runs stays below one.
		if n := testing.AllocsPerRun(100, call); n >= 1 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}
