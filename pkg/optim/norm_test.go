package optim

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/simd"
)

func TestNorm(t *testing.T) {
	t.Cleanup(func() { simd.SetThreads(0) })
	norm := NewNorm(3 * runLength)
	for _, size := range []int{0, 1, 5, runLength, 2*runLength + 7, 3 * runLength} {
		x, want := make([]float32, size), 0.0
		for i := range x {
			x[i] = float32(i%17) - 8
			want += float64(x[i]) * float64(x[i])
		}
		first := math.NaN()
		for _, threads := range []int{1, 2, 5} {
			simd.SetThreads(threads)
			got := norm.Of(x)
			if math.Abs(got-math.Sqrt(want)) > 1e-12*got {
				t.Errorf("of %d elements: %v, want %v", size, got, math.Sqrt(want))
			}
			if threads > 1 && got != first {
				t.Errorf("of %d elements with %d threads: %v, with one %v", size, threads, got, first)
			}
			first = got
		}
	}
	if got := norm.Of([]float32{math.MaxFloat32, math.MaxFloat32}); math.IsInf(got, 0) {
		t.Errorf("of the largest numbers: %v", got)
	}
}
