package optim

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// runLength bounds the elements that one call of an update works on: enough to pay for handing it to another thread.
const runLength = 1 << 14

// run is a stretch of the arena with one weight decay.
type run struct {
	lo, hi int
	decay  float64
}

// runs cuts the arena at parameters and then at runLength. Elements are independent of each other, so the cuts don't show in the result.
func runs(c Config, params *nn.Arena) []run {
	var all []run
	for _, p := range params.Params {
		decay := c.WeightDecay
		if c.ExcludeNormAndBias && !p.Decay {
			decay = 0
		}
		for lo := p.Offset; lo < p.Offset+p.Len; lo += runLength {
			all = append(all, run{lo, min(lo+runLength, p.Offset+p.Len), decay})
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

func (u *updater) apply(grad []float32) {
	if len(grad) != len(u.values) {
		panic(fmt.Sprintf("optimizer: gradient of %d elements for parameters of %d", len(grad), len(u.values)))
	}
	u.grad = grad
	simd.Parallel(len(u.runs), u.update)
	u.grad = nil
}
