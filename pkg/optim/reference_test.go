package optim

import (
	"fmt"
	"math"
	"testing"
)

// reference is one update of all optimizers in float64, written as their papers and PyTorch have it: m and v are their states.
func reference(c Config, p, g, m, v []float64, t float64) {
	norm := func(x []float64) (sum float64) {
		for _, e := range x {
			sum += e * e
		}
		return math.Sqrt(sum)
	}
	d := make([]float64, len(p))
	for i := range d {
		d[i] = g[i] + c.WeightDecay*p[i]
		if c.Name == "adamw" {
			d[i] = g[i]
		}
	}
	trust := c.TrustCoefficient * norm(p) / norm(d)
	for i := range p {
		switch c.Name {
		case "sgd":
			m[i] = c.Momentum*m[i] + d[i]
			move := m[i]
			if c.Nesterov {
				move = d[i] + c.Momentum*m[i]
			}
			p[i] -= c.LR * move
		case "lars":
			m[i] = c.Momentum*m[i] + trust*d[i]
			p[i] -= c.LR * m[i]
		default:
			if c.Name == "adamw" {
				p[i] *= 1 - c.LR*c.WeightDecay
			}
			m[i] = c.Beta1*m[i] + (1-c.Beta1)*d[i]
			v[i] = c.Beta2*v[i] + (1-c.Beta2)*d[i]*d[i]
			p[i] -= c.LR / (1 - math.Pow(c.Beta1, t)) * m[i] / (math.Sqrt(v[i]/(1-math.Pow(c.Beta2, t))) + c.Eps)
		}
	}
}

// recipes are those of the fixtures.
var recipes = map[string]Config{
	"adam":         {Name: "adam", LR: 0.01, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8},
	"adamw":        {Name: "adamw", LR: 0.01, WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8},
	"lars":         {Name: "lars", LR: 0.3, WeightDecay: 1e-6, Momentum: 0.9, TrustCoefficient: 0.001},
	"sgd_momentum": {Name: "sgd", LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4},
	"sgd_nesterov": {Name: "sgd", LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true},
}

func TestTheReferenceAgainstPyTorch(t *testing.T) {
	for name, c := range recipes {
		f := load(t, name)
		p := f.Inputs["w"].Data
		m, v := make([]float64, len(p)), make([]float64, len(p))
		for step := 1; step <= 3; step++ {
			reference(c, p, f.Inputs[fmt.Sprint("g", step)].Data, m, v, float64(step))
			worst, scale := 0.0, 0.0
			for i, want := range f.Outputs[fmt.Sprint("w_after_", step)].Data {
				worst, scale = max(worst, math.Abs(p[i]-want)), max(scale, math.Abs(want))
			}
			if !(worst <= 1e-12*scale) {
				t.Errorf("%s after %d: off by %.3g of the largest value, want ≤ 1e-12", name, step, worst/scale)
			}
		}
	}
}

// Over many steps on a large parameter, where sums are made by run and lane, the updates stay with the reference.
func TestUpdatesAgainstTheReference(t *testing.T) {
	const n, steps = 2*runLength + 3, 5
	for name, c := range recipes {
		want := make([]float64, n)
		for i := range want {
			want[i] = float64(float32(math.Sin(float64(i))))
		}
		params := arena(want)
		o := mustNew(t, c, params)
		grad, g := make([]float32, len(params.Data)), make([]float64, n)
		m, v := make([]float64, n), make([]float64, n)
		for step := range uint64(steps) {
			for i := range g {
				g[i] = float64(float32(math.Cos(float64(i) * float64(step+1))))
			}
			spread(params, grad, g)
			o.Step(grad, c.LR, step)
			reference(c, want, g, m, v, float64(step+1))
		}
		within(t, name, params.Data[:n], want)
	}
}
