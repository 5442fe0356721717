package objective

import (
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// inBatch runs the objective on every query of the batch, cut over some virtual ranks, from raw queries and keys: the mean loss, and its
// gradient by the raw queries.
func inBatch(u, uk []float32, d, ranks int, tau float32) (loss float64, du []float32) {
	b := len(u) / d
	q, k, norms, scratch := make([]float32, len(u)), make([]float32, len(uk)), make([]float32, b), make([]float32, b)
	Normalize(q, u, norms, b, d)
	Normalize(k, uk, scratch, b, d)
	du = make([]float32, len(u))
	losses, cosines := make([]float32, b), make([]float32, b)
	for v := range ranks {
		lo, hi := v*b/ranks, (v+1)*b/ranks
		InBatch(du[lo*d:hi*d], losses[lo:hi], cosines[lo:hi], q[lo*d:hi*d], k, lo, d, tau, 1/float32(b))
	}
	for _, l := range losses {
		loss += float64(l) / float64(b)
	}
	NormalizeBackward(du, du, q, norms, b, d)
	return loss, du
}

// inBatchDefinition is the same by the definition, in float64.
func inBatchDefinition(u, uk []float32, d int, tau float64) (loss float64, du []float64) {
	b := len(u) / d
	for i := range b {
		q, norm := unit(u[i*d : (i+1)*d])
		keys, scores, sum := make([][]float64, b), make([]float64, b), 0.0
		for j := range b {
			keys[j], _ = unit(uk[j*d : (j+1)*d])
			for c := range d {
				scores[j] += q[c] * keys[j][c] / tau
			}
			sum += math.Exp(scores[j])
		}
		loss += (math.Log(sum) - scores[i]) / float64(b)
		g, along := make([]float64, d), 0.0
		for j := range b {
			p := math.Exp(scores[j]) / sum
			if j == i {
				p--
			}
			for c := range d {
				g[c] += p * keys[j][c] / tau / float64(b)
			}
		}
		for c := range d {
			along += g[c] * q[c]
		}
		for c := range d {
			du = append(du, (g[c]-along*q[c])/norm)
		}
	}
	return loss, du
}

func TestInBatchAgainstItsDefinition(t *testing.T) {
	for _, c := range []struct {
		b, d, ranks int
		tau         float32
	}{{2, 2, 1, 1}, {6, 3, 3, 0.07}, {300, 16, 4, 0.2}} {
		u, uk := random(keyed.New(1).For("q"), c.b*c.d), random(keyed.New(1).For("k"), c.b*c.d)
		loss, du := inBatch(u, uk, c.d, c.ranks, c.tau)
		wantLoss, want := inBatchDefinition(u, uk, c.d, float64(c.tau))
		if e := math.Abs(loss-wantLoss) / wantLoss; e > 1e-5 {
			t.Errorf("%+v: loss %v, want %v", c, loss, wantLoss)
		}
		if e := relative(du, want); e > 1e-5 {
			t.Errorf("%+v: gradient is off by %.2e", c, e)
		}
	}
}

func TestInBatchGradientByCentralDifferences(t *testing.T) {
	const d = 5
	u, uk := random(keyed.New(2).For("q"), 4*d), random(keyed.New(2).For("k"), 4*d)
	_, du := inBatch(u, uk, d, 2, 0.2)
	for i := range u {
		up, down := slices.Clone(u), slices.Clone(u)
		up[i] += 1e-2
		down[i] -= 1e-2
		a, _ := inBatchDefinition(up, uk, d, 0.2)
		b, _ := inBatchDefinition(down, uk, d, 0.2)
		if numeric := (a - b) / (float64(up[i]) - float64(down[i])); math.Abs(numeric-float64(du[i])) > 1e-3*(1+math.Abs(numeric)) {
			t.Errorf("∂L/∂u[%d] = %v, central difference %v", i, du[i], numeric)
		}
	}
}
