//go:build !race

package simd

import "testing"

// The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestKernelsDoNotAllocate(t *testing.T) {
	SetThreads(2)
	t.Cleanup(func() { SetThreads(0) })
	c := Conv{N: 4, H: 9, W: 9, Cin: 8, Cout: 20, K: 3, Stride: 2, Pad: 1}
	x, w, dy := convOperands(c)
	y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
	a := random(64*64, 1)
	out := make([]float32, 64*64)
	pool := Pool{N: 4, H: 9, W: 9, C: 8, K: 3, Stride: 2, Pad: 1}
	taps := make([]uint8, 4*5*5*8)
	for name, f := range map[string]func(){
		"conv": func() { c.Forward(y, x, w); c.BackwardData(dx, dy, w); c.BackwardWeights(dw, dy, x) },
		"pool": func() { pool.Max(y, taps, x); pool.MaxBackward(dx, y, taps); pool.Average(y, x) },
		"gemm": func() { Gemm(true, true, 63, 61, 64, 2, a, 64, a, 64, 1, out, 61) },
		"batch": func() {
			s := Matrices{a, 16, 256, 16 * 16}
			GemmBatch(16, 1, false, true, 16, 16, 16, 1, s, s, 0, Matrices{out, 16, 256, 0})
		},
		"panel": func() {
			PackPanel(out, a, 32, 64, 2)
			PanelScores(out[2048:], y, a, out, 64, 64, a)
			PanelExp(out[2048:], a, out, 64)
			PanelSum(out, a, a, 32, 64, 64)
		},
		"exp": func() { out[0] = ExpSum(out, a, Exp1(1)) },
	} {
		f()
		// A collection may empty the pools now and then: the average over many runs stays below one.
		if n := testing.AllocsPerRun(100, f); n >= 1 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}
