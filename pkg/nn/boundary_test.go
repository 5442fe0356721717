package nn

import (
	"math"
	"testing"
)

// Every run that BackwardNotify hands out must hold at that moment what it holds in the end, and the runs must cover the gradient once, from its end.
func TestBackwardNotifyHandsOutFinishedRuns(t *testing.T) {
	for _, name := range []string{"mlp", "resnet-tiny", "thin basic", "thin bottleneck", "thin transformer"} {
		o := small()
		o.Predictor = &Predictor{Hidden: 8, BatchNorm: true}
		m := buildThin(t, name, o)
		x, dz := drawn("images", 6, 16, 16, 1), drawn("upstream", 6, 64)
		want := make([]float32, len(m.Params().Data))
		m.Forward(x, true)
		m.Backward(dz, want)

		grad, seen := make([]float32, len(want)), make([]float32, len(want))
		for i := range grad {
			grad[i] = float32(math.NaN())
		}
		end, runs := len(grad), 0
		m.Forward(x, true)
		m.BackwardNotify(dz, grad, func(lo, hi int) {
			if hi != end || lo >= hi {
				t.Fatalf("%s: a run %d … %d, the one before began at %d", name, lo, hi, end)
			}
			copy(seen[lo:hi], grad[lo:hi])
			end = lo
			runs++
		})
		if end != 0 || runs < 4 {
			t.Errorf("%s: %d runs, down to %d, want at least 4, down to 0", name, runs, end)
		}
		same(t, name, seen, want)
		same(t, name, grad, want)
	}
}
