//go:build !race

package nn

import (
	"testing"

	"github.com/sslctl/sslctl/pkg/simd"
)

// The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	simd.SetThreads(2)
	t.Cleanup(func() { simd.SetThreads(0) })
	imagenet := small()
	imagenet.Stem = StemImageNet
	dropout := small()
	dropout.Dropout = Dropout{Attention: 0.1, Projection: 0.1, Position: 0.1, Path: 0.1}
	group := small()
	group.Norm = NormGroup
	for _, c := range []struct {
		name    string
		options Options
	}{{"resnet-tiny", small()}, {"thin basic", small()}, {"thin bottleneck", imagenet}, {"thin transformer", small()}, {"thin transformer", dropout}, {"thin basic", group}} {
		m := buildThin(t, c.name, c.options)
		x, dz, grad := drawn("images", 8, 16, 16, 1), drawn("upstream", 8, 64), make([]float32, len(m.Params().Data))
		stats := make([]float32, len(m.Running().Data))
		if n := testing.AllocsPerRun(20, func() {
			m.Forward(x, true)
			m.Backward(dz, grad)
			m.BatchStats(stats)
			m.Forward(x, false)
		}); n > 1 {
			t.Errorf("%s: %v allocations a step", c.name, n)
		}
	}
}
