package optim

import (
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// sgd is gradient descent with momentum μ and weight decay in the gradient, in PyTorch's convention: d = g + wd·p, b ← μ·b + d, and
// p ← p − lr·b, or p ← p − lr·(d + μ·b) with Nesterov's momentum (Sutskever, Martens, Dahl and Hinton, ICML 2013).
type sgd struct {
	updater
	momentum float32
	nesterov bool
	buffer   []float32 // nil without momentum

	lr float32 // of the step at hand
}

func newSGD(c Config, params *nn.Arena) *sgd {
	o := &sgd{updater: newUpdater(c, params), momentum: float32(c.Momentum), nesterov: c.Nesterov}
	if c.Momentum > 0 {
		o.buffer = make([]float32, len(params.Data))
	}
	o.update = o.updateRun
	return o
}

func (o *sgd) State() []Slot {
	if o.buffer == nil {
		return nil
	}
	return []Slot{{"momentum", o.buffer}}
}

func (o *sgd) Step(grad []float32, lr float64, _ uint64) {
	o.lr = float32(lr)
	o.apply(grad)
}

func (o *sgd) updateRun(i int) {
	r := o.runs[i]
	p, g := o.values[r.lo:r.hi], o.grad[r.lo:r.hi]
	step := simd.Descent{LR: o.lr, Decay: float32(r.decay), Momentum: o.momentum, Rate: 1}
	switch {
	case o.buffer == nil:
		step.Descend(p, g)
	case o.nesterov:
		step.DescendNesterov(p, o.buffer[r.lo:r.hi], g)
	default:
		step.DescendMomentum(p, o.buffer[r.lo:r.hi], g)
	}
}
