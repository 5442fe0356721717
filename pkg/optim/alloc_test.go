//go:build !race

package optim

import (
	"testing"

	"github.com/sslctl/sslctl/pkg/simd"
)

// The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestAStepAllocatesNothing(t *testing.T) {
	simd.SetThreads(2)
	t.Cleanup(func() { simd.SetThreads(0) })
	for _, name := range Names() {
		for _, clip := range []float64{0, 1} {
			params := arena(make([]float64, 3*runLength+5))
			grad := make([]float32, len(params.Data))
			grad[0] = 3
			o := mustNew(t, Config{Name: name, Momentum: 0.9, WeightDecay: 0.1, ClipNorm: clip}, params)
			average, norm := NewAverage(make([]float32, len(params.Data)), params.Data), NewNorm(len(params.Data))
			step := uint64(0)
			// A collection may empty the pool now and then: the average over many runs stays below one.
			if n := testing.AllocsPerRun(100, func() { o.Step(grad, 0.1, step); average.Follow(0.9); norm.Of(grad); step++ }); n >= 1 {
				t.Errorf("%s, clipped to %v: %v allocations a step", name, clip, n)
			}
		}
	}
}
