package optim

import (
	"math"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// adam is Adam (Kingma and Ba, "Adam", ICLR 2015) in PyTorch's order: m, v, and p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + eps). AdamW decays
// before that, p ← p·(1 − lr·wd) (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019); Adam has wd·p in the gradient.
type adam struct {
	updater
	decoupled         bool
	beta1, beta2, eps float64
	expAvg, expAvgSq  []float32

	lr   float64   // of the step at hand
	step simd.Adam // of the step at hand, without weight decay
}

func newAdam(c Config, params *nn.Arena) *adam {
	o := &adam{
		updater: newUpdater(c, params), decoupled: c.Name == "adamw",
		beta1: orDefault(c.Beta1, 0.9), beta2: orDefault(c.Beta2, 0.999), eps: orDefault(c.Eps, 1e-8),
		expAvg: make([]float32, len(params.Data)), expAvgSq: make([]float32, len(params.Data)),
	}
	o.update = o.updateRun
	return o
}

func (o *adam) State() []Slot { return []Slot{{"exp_avg", o.expAvg}, {"exp_avg_sq", o.expAvgSq}} }

func (o *adam) Step(grad []float32, lr float64, step uint64) {
	o.lr = lr
	o.step = simd.Adam{
		Keep: 1, New1: float32(1 - o.beta1), Beta2: float32(o.beta2), New2: float32(1 - o.beta2), Eps: float32(o.eps),
		Size:    float32(lr / (1 - power(o.beta1, step+1))),
		InvRoot: float32(1 / math.Sqrt(1-power(o.beta2, step+1))),
	}
	o.apply(grad)
}

func (o *adam) updateRun(i int) {
	r := o.runs[i]
	step := o.step
	if o.decoupled {
		step.Keep = float32(1 - float64(o.lr*r.decay))
	} else {
		step.Decay = float32(r.decay)
	}
	step.Update(o.values[r.lo:r.hi], o.expAvg[r.lo:r.hi], o.expAvgSq[r.lo:r.hi], o.grad[r.lo:r.hi])
}

// power is xⁿ by repeated squaring: float64 products in an order that n alone decides.
func power(x float64, n uint64) float64 {
	result := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = float64(result * x)
		}
		x = float64(x * x)
	}
	return result
}
