package objective

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// negativesOf runs the objective as virtual ranks do, each with its rows of both views, from raw embeddings u (2B, d).
func negativesOf(x Negatives, u []float32, ranks int) (loss float64, du []float32) {
	d, rows := x.D, len(u)/x.D
	z, norms := make([]float32, len(u)), make([]float32, rows)
	Normalize(z, u, norms, rows, d)
	x.Z = z
	figures, dz := make([]float32, Figures*rows), make([]float32, len(u))
	each := func(f func(lo, hi int)) {
		for _, view := range []int{0, rows / 2} {
			ranksOf(rows/2, ranks, func(lo, hi int) { f(view+lo, view+hi) })
		}
	}
	each(func(lo, hi int) { x.Sums(figures[Figures*lo:Figures*hi], lo) })
	var pulls Pulls
	loss, _, _ = x.Loss(figures, &pulls)
	each(func(lo, hi int) { x.Gradient(dz[lo*d:hi*d], &pulls, lo) })
	NormalizeBackward(dz, dz, z, norms, rows, d)
	return loss, dz
}

// negativesDefinition is the loss with its gradient by the definition, in float64, from the whole matrix of scores. Where detached is true, no
// gradient flows through the mean of the weights of hard negatives.
func negativesDefinition(x Negatives, u []float64, tau float64, detached bool) (loss float64, du []float64) {
	d, rows := x.D, len(u)/x.D
	z, norms, dz := make([]float64, len(u)), make([]float64, rows), make([]float64, len(u))
	for i := range rows {
		for c := range d {
			norms[i] += u[i*d+c] * u[i*d+c]
		}
		norms[i] = math.Sqrt(norms[i])
		for c := range d {
			z[i*d+c] = u[i*d+c] / norms[i]
		}
	}
	for i := range rows {
		p, n := (i+rows/2)%rows, float64(rows-2)
		scores, slopes := make([]float64, rows), make([]float64, rows) // ∂L/∂s
		hard, weights := 0.0, 0.0
		for j := range rows {
			for c := range d {
				scores[j] += z[i*d+c] * z[j*d+c] / tau
			}
			if j != i && j != p {
				hard += math.Exp((1 + x.Beta) * scores[j])
				weights += math.Exp(x.Beta * scores[j])
			}
		}
		plus := math.Exp(scores[p])
		if x.Decoupled {
			loss += math.Log(hard) - scores[p]
			for j := range rows {
				slopes[j] = math.Exp(scores[j]) / hard
			}
			slopes[p] = -1
		} else {
			r := hard / (weights / n)
			g := (r - x.TauPlus*n*plus) / (1 - x.TauPlus)
			byR, byPlus := 1/(1-x.TauPlus), -x.TauPlus*n/(1-x.TauPlus)
			if least := n * math.Exp(-1/tau); g < least {
				g, byR, byPlus = least, 0, 0
			}
			loss += -math.Log(plus / (plus + g))
			for j := range rows {
				byScore := (1 + x.Beta) * math.Exp((1+x.Beta)*scores[j]) / (weights / n)
				if !detached {
					byScore -= r * x.Beta * math.Exp(x.Beta*scores[j]) / weights
				}
				slopes[j] = byR * byScore / (plus + g)
			}
			slopes[p] = (1+byPlus)*plus/(plus+g) - 1
		}
		slopes[i] = 0
		for j := range rows {
			for c := range d {
				dz[i*d+c] += slopes[j] * z[j*d+c] / tau / float64(rows)
				dz[j*d+c] += slopes[j] * z[i*d+c] / tau / float64(rows)
			}
		}
	}
	for i := range rows {
		along := 0.0
		for c := range d {
			along += dz[i*d+c] * z[i*d+c]
		}
		for c := range d {
			du = append(du, (dz[i*d+c]-along*z[i*d+c])/norms[i])
		}
	}
	return loss / float64(rows), du
}

func TestNegativesAgainstPyTorch(t *testing.T) {
	for _, c := range []struct {
		name      string
		decoupled bool
		mixed     float64 // share of a that the fixture adds to b
	}{{"dcl", true, 0}, {"debiased", false, 0}, {"debiased_clamped", false, 0.5}, {"hard_negative", false, 0}} {
		f := load(t, c.name)
		a, b := f.Inputs["a"].Data, slices.Clone(f.Inputs["b"].Data)
		for i := range b {
			b[i] += c.mixed * a[i]
		}
		u := append(slices.Clone(a), b...)
		tau := f.Params["tau"]
		x := Negatives{NTXent: NTXent{D: f.Inputs["a"].Shape[1], Tau: float32(tau)}, Decoupled: c.decoupled, TauPlus: f.Params["tau_plus"], Beta: f.Params["beta"]}
		mix := func(du []float64) []float64 { // back to the fixture's a and b
			for i := range a {
				du[i] += c.mixed * du[len(a)+i]
			}
			return du
		}
		loss64, du64 := negativesDefinition(x, u, tau, false)
		mix(du64)
		want := append(slices.Clone(f.Grads["a"].Data), f.Grads["b"].Data...)
		for _, ranks := range []int{1, 2, 3} {
			loss, du := negativesOf(x, narrowed(u), ranks)
			agrees(t, fmt.Sprintf("%s, %d ranks: loss", c.name, ranks), []float64{loss}, []float64{loss64}, f.Outputs["loss"].Data)
			agrees(t, fmt.Sprintf("%s, %d ranks: gradient", c.name, ranks), mix(widened(du)), du64, want)
		}
	}
}

// forms are the losses at sharper temperatures, and at sizes with more than one tile.
var forms = []struct {
	samples int
	x       Negatives
}{
	{2, Negatives{NTXent: NTXent{D: 3, Tau: 1}, Decoupled: true}},
	{150, Negatives{NTXent: NTXent{D: 8, Tau: 0.1}, Decoupled: true}},
	{150, Negatives{NTXent: NTXent{D: 8, Tau: 0.1}, TauPlus: 0.1}},
	{150, Negatives{NTXent: NTXent{D: 8, Tau: 0.1}, TauPlus: 0.01, Beta: 0.5}},
	{2, Negatives{NTXent: NTXent{D: 3, Tau: 0.5}, TauPlus: 0.1, Beta: 2}},
}

func TestNegativesAgainstTheirDefinition(t *testing.T) {
	for _, c := range forms {
		u := random(keyed.New(8), 2*c.samples*c.x.D)
		wantLoss, want := negativesDefinition(c.x, widened(u), float64(c.x.Tau), false)
		for _, ranks := range []int{1, 2} {
			loss, du := negativesOf(c.x, u, ranks)
			if e := math.Abs((loss - wantLoss) / wantLoss); !(e < 1e-5) {
				t.Errorf("%+v: loss %v, want %v", c.x, loss, wantLoss)
			}
			if e := relative(du, want); !(e < 1e-5) {
				t.Errorf("%+v: gradient is off by %.2e", c.x, e)
			}
		}
	}
}

// The gradient of hard negatives flows through the mean of their weights: it is the derivative of the loss, and differs from the one with the
// weights' mean held constant.
func TestTheGradientFlowsThroughTheMeanOfTheWeights(t *testing.T) {
	x := Negatives{NTXent: NTXent{D: 4, Tau: 0.5}, TauPlus: 0.1, Beta: 1}
	u := widened(random(keyed.New(9), 8*x.D))
	_, du := negativesOf(x, narrowed(u), 2)
	differences(t, du, u, 1e-6, func() float64 { loss, _ := negativesDefinition(x, u, 0.5, false); return loss })
	if _, detached := negativesDefinition(x, u, 0.5, true); relative(du, detached) < 0.01 {
		t.Error("the gradient is the one without the mean's part")
	}
}

func TestNegativesByCentralDifferences(t *testing.T) {
	for _, x := range []Negatives{
		{NTXent: NTXent{D: 4, Tau: 0.5}, Decoupled: true},
		{NTXent: NTXent{D: 4, Tau: 0.5}, TauPlus: 0.1},
		{NTXent: NTXent{D: 4, Tau: 0.5}, TauPlus: 0.5}, // some at their lower bound
	} {
		u := widened(random(keyed.New(10), 8*x.D))
		_, du := negativesOf(x, narrowed(u), 2)
		differences(t, du, u, 1e-6, func() float64 { loss, _ := negativesDefinition(x, u, 0.5, false); return loss })
	}
}

// e^{1/τ} overflows where nothing is subtracted from the scores.
func TestNegativesAtASharpTemperature(t *testing.T) {
	u := make([]float32, 8*4)
	for i := range u {
		u[i] = 0.5
	}
	for _, x := range []Negatives{{Decoupled: true}, {TauPlus: 0.1}, {TauPlus: 0.1, Beta: 1}} {
		x.D, x.Tau = 4, 0.001
		loss, du := negativesOf(x, u, 2)
		want := math.Log(7)
		if x.Decoupled {
			want = math.Log(6)
		}
		if !(math.Abs(loss-want) < 1e-3) {
			t.Errorf("%+v: loss %v, want %v", x, loss, want)
		}
		for i, g := range du {
			if !(math.Abs(float64(g)) < 1e-2) {
				t.Errorf("%+v: gradient element %d is %v, want 0", x, i, g)
			}
		}
	}
}

func TestNegativesReportNaN(t *testing.T) {
	z := random(keyed.New(1), 4*3)
	z[4] = float32(math.NaN())
	for _, x := range []Negatives{{Decoupled: true}, {TauPlus: 0.1}, {TauPlus: 0.1, Beta: 1}} {
		x.NTXent = NTXent{Z: z, D: 3, Tau: 0.2}
		figures := make([]float32, Figures*4)
		x.Sums(figures, 0)
		if _, _, finite := x.Loss(figures, &Pulls{}); finite {
			t.Errorf("%+v: NaN passed as finite", x)
		}
	}
}
