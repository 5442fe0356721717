package objective

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// ntXent runs the whole objective as virtual ranks do, each with its rows of both views, from raw embeddings u (2B, d).
func ntXent(u []float32, d, ranks int, tau float32) (loss float64, du []float32) {
	return contrastive(NTXent{D: d, Tau: tau}, u, ranks)
}

func contrastive(x NTXent, u []float32, ranks int) (loss float64, du []float32) {
	d := x.D
	rows := len(u) / d
	z, norms := make([]float32, len(u)), make([]float32, rows)
	Normalize(z, u, norms, rows, d)
	x.Z = z
	lse, dz := make([]float32, rows), make([]float32, len(u))
	half := rows / 2
	for pass := range 2 {
		for v := range ranks {
			for _, view := range []int{0, half} {
				lo, hi := view+v*half/ranks, view+(v+1)*half/ranks
				if pass == 0 {
					x.LogSumExp(lse[lo:hi], lo)
				} else {
					x.Gradient(dz[lo*d:hi*d], lse, lo)
				}
			}
		}
	}
	loss, _, _ = x.Loss(lse)
	NormalizeBackward(dz, dz, z, norms, rows, d)
	return loss, dz
}

func TestNTXentAgainstPyTorch(t *testing.T) {
	for _, name := range []string{"ntxent", "ntxent_tau0.05"} {
		f := load(t, name)
		u := append(f.Inputs["a"].f32(), f.Inputs["b"].f32()...)
		for _, ranks := range []int{1, 2, 3} {
			loss, du := ntXent(u, 5, ranks, float32(f.Params["tau"]))
			if e := relative([]float32{float32(loss)}, f.Outputs["loss"].Data); e > 1e-5 {
				t.Errorf("%s, %d ranks: loss %v, want %v", name, ranks, loss, f.Outputs["loss"].Data)
			}
			if e := relative(du, append(slices.Clone(f.Grads["a"].Data), f.Grads["b"].Data...)); e > 1e-5 {
				t.Errorf("%s, %d ranks: gradient is off by %.2e", name, ranks, e)
			}
		}
	}
}

// Each row against the other views alone.
func TestCrossViewAgainstPyTorch(t *testing.T) {
	f := load(t, "clip_infonce")
	u := append(f.Inputs["a"].f32(), f.Inputs["b"].f32()...)
	x := NTXent{D: f.Inputs["a"].Shape[1], Tau: float32(f.Params["tau"]), CrossView: true}
	for _, ranks := range []int{1, 2, 3} {
		loss, du := contrastive(x, u, ranks)
		if e := relative([]float32{float32(loss)}, f.Outputs["loss"].Data); e > 1e-5 {
			t.Errorf("%d ranks: loss %v, want %v", ranks, loss, f.Outputs["loss"].Data)
		}
		if e := relative(du, append(slices.Clone(f.Grads["a"].Data), f.Grads["b"].Data...)); e > 1e-5 {
			t.Errorf("%d ranks: gradient is off by %.2e", ranks, e)
		}
	}
}

// unit is a row over its norm, and the norm.
func unit(x []float32) ([]float64, float64) {
	sum, y := 0.0, make([]float64, len(x))
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	for j, v := range x {
		y[j] = float64(v) / math.Sqrt(sum)
	}
	return y, math.Sqrt(sum)
}

// ntXentDefinition is the loss and its gradient by the definition, in float64, from the whole matrix of scores.
func ntXentDefinition(u []float32, d int, tau float64) (loss float64, du []float64) {
	rows := len(u) / d
	z, norms := make([][]float64, rows), make([]float64, rows)
	for i := range rows {
		z[i], norms[i] = unit(u[i*d : (i+1)*d])
	}
	dz := make([]float64, len(u))
	for i := range rows {
		scores, sum := make([]float64, rows), 0.0
		for j := range rows {
			for c := range d {
				scores[j] += z[i][c] * z[j][c] / tau
			}
			if j != i {
				sum += math.Exp(scores[j])
			}
		}
		positive := (i + rows/2) % rows
		loss += (math.Log(sum) - scores[positive]) / float64(rows)
		for j := range rows {
			p := math.Exp(scores[j]) / sum
			switch j {
			case i:
				continue
			case positive:
				p--
			}
			for c := range d {
				dz[i*d+c] += p * z[j][c] / tau / float64(rows)
				dz[j*d+c] += p * z[i][c] / tau / float64(rows)
			}
		}
	}
	for i := range rows {
		along := 0.0
		for c := range d {
			along += dz[i*d+c] * z[i][c]
		}
		for c := range d {
			du = append(du, (dz[i*d+c]-along*z[i][c])/norms[i])
		}
	}
	return loss, du
}

func TestNTXentAgainstItsDefinition(t *testing.T) {
	for _, c := range []struct {
		samples, d, ranks int
		tau               float32
	}{{2, 2, 1, 1}, {5, 3, 2, 0.07}, {150, 16, 3, 0.2}, {257, 33, 4, 0.05}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			u := random(keyed.New(5), 2*c.samples*c.d)
			loss, du := ntXent(u, c.d, c.ranks, c.tau)
			wantLoss, want := ntXentDefinition(u, c.d, float64(c.tau))
			if e := math.Abs(loss-wantLoss) / wantLoss; e > 1e-5 {
				t.Errorf("loss %v, want %v", loss, wantLoss)
			}
			if e := relative(du, want); e > 1e-5 {
				t.Errorf("gradient is off by %.2e", e)
			}
		})
	}
}

func TestNTXentGradientByCentralDifferences(t *testing.T) {
	const d = 6
	u := random(keyed.New(4), 8*d)
	_, du := ntXent(u, d, 2, 0.2)
	for i := range u {
		up, down := slices.Clone(u), slices.Clone(u)
		up[i] += 1e-2
		down[i] -= 1e-2
		a, _ := ntXentDefinition(up, d, 0.2)
		b, _ := ntXentDefinition(down, d, 0.2)
		if numeric := (a - b) / (float64(up[i]) - float64(down[i])); math.Abs(numeric-float64(du[i])) > 1e-3*(1+math.Abs(numeric)) {
			t.Errorf("∂L/∂u[%d] = %v, central difference %v", i, du[i], numeric)
		}
	}
}

// Identical rows at a sharp temperature: the scores are as large as they get, and every other row is as likely as the positive.
func TestNTXentOfACollapsedEncoder(t *testing.T) {
	const rows, d = 8, 4
	u := make([]float32, rows*d)
	for i := range u {
		u[i] = 0.5
	}
	loss, du := ntXent(u, d, 2, 0.001)
	if math.Abs(loss-math.Log(rows-1)) > 1e-3 {
		t.Errorf("loss %v, want log(%d)", loss, rows-1)
	}
	for i, g := range du {
		if !(math.Abs(float64(g)) < 1e-3) {
			t.Errorf("gradient element %d is %v, want 0", i, g)
		}
	}
}

func TestNTXentReportsNaN(t *testing.T) {
	z := random(keyed.New(1), 4*3)
	z[4] = float32(math.NaN())
	x := NTXent{Z: z, D: 3, Tau: 0.2}
	lse := make([]float32, 4)
	x.LogSumExp(lse, 0)
	if _, _, finite := x.Loss(lse); finite {
		t.Error("NaN passed as finite")
	}
}
