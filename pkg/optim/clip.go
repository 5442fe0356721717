package optim

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// clipped is an optimizer that sees no gradient above a norm: a longer one is scaled by limit/(norm + 1e-6), as PyTorch's clip_grad_norm_
// does (Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013). The norm is over all
// parameters, its squares summed in float64 by run and in the order of the runs. The square of a finite float32 is finite there, so a
// finite gradient stays one.
type clipped struct {
	Optimizer
	limit float64
	runs  []run
	size  int
	sums  []float64 // of each run, Σ g²
	sum   func(i int)
	scale func(i int)

	grad   []float32 // of the step at hand
	factor float32
}

func newClipped(o Optimizer, c Config, params *nn.Arena) *clipped {
	w := &clipped{Optimizer: o, limit: c.ClipNorm, runs: runs(c, params), size: len(params.Data)}
	w.sums = make([]float64, len(w.runs))
	w.sum = func(i int) { w.sums[i] = simd.Squares(w.grad[w.runs[i].lo:w.runs[i].hi]) }
	w.scale = func(i int) { simd.Scale(w.grad[w.runs[i].lo:w.runs[i].hi], w.factor) }
	return w
}

func (w *clipped) Step(grad []float32, lr float64, step uint64) {
	if len(grad) != w.size {
		panic(fmt.Sprintf("optimizer: gradient of %d elements for parameters of %d", len(grad), w.size))
	}
	w.grad = grad
	simd.Parallel(len(w.runs), w.sum)
	total := 0.0
	for _, s := range w.sums {
		total += s
	}
	if factor := w.limit / (math.Sqrt(total) + 1e-6); factor < 1 {
		w.factor = float32(factor)
		simd.Parallel(len(w.runs), w.scale)
	}
	w.grad = nil
	w.Optimizer.Step(grad, lr, step)
}
