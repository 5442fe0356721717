package optim

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// runLength bounds the elements that one call of an update works on: enough to pay for handing it to another thread.
const runLength = 1 << 14

// run is a stretch of one parameter.
type run struct {
	lo, hi int
	param  int // its number in the arena
	spared bool
	decay  float64
}

// runs cuts the arena at parameters and then at runLength. The cuts depend on the parameters alone: sums over a parameter are made by run, and
// added in the order of the runs.
func runs(c Config, params *nn.Arena) []run {
	var all []run
	for i, p := range params.Params {
		spared, decay := c.ExcludeNormAndBias && !p.Decay, c.WeightDecay
		if spared {
			decay = 0
		}
		for lo := p.Offset; lo < p.Offset+p.Len; lo += runLength {
			all = append(all, run{lo, min(lo+runLength, p.Offset+p.Len), i, spared, decay})
		}
	}
	return all
}

// updater spreads an update over the runs of an arena.
type updater struct {
	runs   []run
	values []float32
	grad   []float32
	update func(i int) // run i; made once so that a step allocates nothing
}

func newUpdater(c Config, params *nn.Arena) updater {
	return updater{runs: runs(c, params), values: params.Data}
}

// take notes the gradient of the step at hand.
func (u *updater) take(grad []float32) {
	if len(grad) != len(u.values) {
		panic(fmt.Sprintf("optimizer: gradient of %d elements for parameters of %d", len(grad), len(u.values)))
	}
	u.grad = grad
}

func (u *updater) apply(grad []float32) {
	u.take(grad)
	simd.Parallel(len(u.runs), u.update)
	u.grad = nil
}
