package optim

import "github.com/sslctl/sslctl/pkg/nn"

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
	p := o.values[r.lo:r.hi]
	g := o.grad[r.lo:r.hi][:len(p)]
	decay := float32(r.decay)
	if o.buffer == nil {
		for i, x := range g {
			p[i] -= float32(o.lr * (x + float32(decay*p[i])))
		}
		return
	}
	b := o.buffer[r.lo:r.hi][:len(p)]
	for i, x := range g {
		d := x + float32(decay*p[i])
		b[i] = float32(o.momentum*b[i]) + d
		if o.nesterov {
			d += float32(o.momentum * b[i])
		} else {
			d = b[i]
		}
		p[i] -= float32(o.lr * d)
	}
}
