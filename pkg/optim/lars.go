package optim

import (
	"math"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

// lars is layer-wise adaptive rate scaling (You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017) as the code of
// MoCo v3, Barlow Twins and VICReg has it: d = g + wd·p, b ← μ·b + q·d with q = η·‖p‖/‖d‖ of the whole parameter, p ← p − lr·b. q is 1
// where a norm is 0, and for spared parameters. Weight decay of 0 takes nothing away but its own summand.
type lars struct {
	updater
	momentum float32
	trust    float64 // η
	buffer   []float32
	values2  []float64 // of each run, Σ p²
	moves2   []float64 // of each run, Σ d²
	rates    []float32 // of each parameter, q
	sum      func(i int)

	lr float32 // of the step at hand
}

func newLARS(c Config, params *nn.Arena) *lars {
	o := &lars{
		updater: newUpdater(c, params), momentum: float32(c.Momentum), trust: orDefault(c.TrustCoefficient, 0.001),
		buffer: make([]float32, len(params.Data)), rates: make([]float32, len(params.Params)),
	}
	o.values2, o.moves2 = make([]float64, len(o.runs)), make([]float64, len(o.runs))
	o.sum, o.update = o.sumRun, o.updateRun
	return o
}

func (o *lars) State() []Slot { return []Slot{{"momentum", o.buffer}} }

func (o *lars) Step(grad []float32, lr float64, _ uint64) {
	o.lr = float32(lr)
	o.take(grad)
	simd.Parallel(len(o.runs), o.sum)
	o.setRates()
	o.apply(grad)
}

// sumRun sums the squares of a run.
func (o *lars) sumRun(i int) {
	r := o.runs[i]
	if r.spared {
		return
	}
	o.values2[i], o.moves2[i] = simd.Squares(o.values[r.lo:r.hi]), simd.SquaresDecayed(o.grad[r.lo:r.hi], o.values[r.lo:r.hi], float32(r.decay))
}

// setRates computes every parameter's q from the sums of its runs, in their order.
func (o *lars) setRates() {
	for i := 0; i < len(o.runs); {
		param, spared := o.runs[i].param, o.runs[i].spared
		value2, move2 := 0.0, 0.0
		for ; i < len(o.runs) && o.runs[i].param == param; i++ {
			value2 += o.values2[i]
			move2 += o.moves2[i]
		}
		o.rates[param] = 1
		if !spared && value2 > 0 && move2 > 0 {
			// q·d is at most η·‖p‖, and stays so where ‖d‖ is so small that q itself is no float32.
			o.rates[param] = float32(min(o.trust*math.Sqrt(value2)/math.Sqrt(move2), math.MaxFloat32))
		}
	}
}

func (o *lars) updateRun(i int) {
	r := o.runs[i]
	step := simd.Descent{LR: o.lr, Decay: float32(r.decay), Momentum: o.momentum, Rate: o.rates[r.param]}
	step.DescendMomentum(o.values[r.lo:r.hi], o.buffer[r.lo:r.hi], o.grad[r.lo:r.hi])
}
