//go:build !race

package nn

import "testing"

// The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	m := build(t, "resnet-tiny", small())
	x, dz, grad := drawn("images", 8, 16, 16, 1), drawn("upstream", 8, 64), make([]float32, len(m.Params().Data))
	stats := make([]float32, len(m.Running().Data))
	if n := testing.AllocsPerRun(20, func() {
		m.Forward(x, true)
		m.Backward(dz, grad)
		m.BatchStats(stats)
		m.Forward(x, false)
	}); n > 1 {
		t.Errorf("%v allocations a step", n)
	}
}
