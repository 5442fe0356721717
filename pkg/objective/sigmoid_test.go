package objective

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// sigmoidOf runs the objective as virtual ranks do, from raw embeddings u (2B, d). It returns ∂L/∂t and ∂L/∂c behind the loss.
func sigmoidOf(u []float32, d, ranks int, t, bias float64) (loss [3]float64, du []float32) {
	rows := len(u) / d
	z, norms := make([]float32, len(u)), make([]float32, rows)
	Normalize(z, u, norms, rows, d)
	x := Sigmoid{Z: z, D: d, Scale: float32(math.Exp(t)), Bias: float32(bias)}
	figures, dz := make([]float32, SigmoidFigures*rows), make([]float32, len(u))
	for _, view := range []int{0, rows / 2} {
		ranksOf(rows/2, ranks, func(lo, hi int) {
			own := figures[SigmoidFigures*(view+lo) : SigmoidFigures*(view+hi)]
			x.Figures(own, view+lo)
			byScale, byBias := x.Slopes(own)
			loss[1] += byScale
			loss[2] += byBias
			x.Gradient(dz[(view+lo)*d:(view+hi)*d], view+lo)
		})
	}
	loss[0], _, _, _ = x.Loss(figures)
	NormalizeBackward(dz, dz, z, norms, rows, d)
	return loss, dz
}

// sigmoidDefinition is the loss by its definition in float64.
func sigmoidDefinition(u []float64, d int, t, bias float64) (loss float64) {
	half := len(u) / d / 2
	norm := func(row []float64) float64 {
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		return math.Sqrt(sum)
	}
	for i := range half {
		for j := range half {
			a, b, dot := u[i*d:(i+1)*d], u[(half+j)*d:(half+j+1)*d], 0.0
			for c := range a {
				dot += a[c] * b[c]
			}
			x := math.Exp(t)*dot/(norm(a)*norm(b)) + bias
			if i == j {
				x = -x
			}
			loss += (max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))) / float64(half)
		}
	}
	return loss
}

func TestSigmoidAgainstPyTorch(t *testing.T) {
	f := load(t, "siglip")
	a, b := f.Inputs["a"].Data, f.Inputs["b"].Data
	u := append(slices.Clone(a), b...)
	scale, bias := f.Inputs["t"].Data[0], f.Inputs["bias"].Data[0]
	loss64 := sigmoidDefinition(u, 4, scale, bias)
	want := append(slices.Clone(f.Grads["a"].Data), f.Grads["b"].Data...)
	for _, ranks := range []int{1, 2, 5} {
		loss, du := sigmoidOf(narrowed(u), 4, ranks, scale, bias)
		agrees(t, fmt.Sprint(ranks, " ranks: loss"), loss[:1], []float64{loss64}, f.Outputs["loss"].Data)
		agrees(t, fmt.Sprint(ranks, " ranks: gradient"), widened(du), want, want)
		agrees(t, fmt.Sprint(ranks, " ranks: slope by the scale"), loss[1:2], f.Grads["t"].Data, f.Grads["t"].Data)
		agrees(t, fmt.Sprint(ranks, " ranks: slope by the bias"), loss[2:], f.Grads["bias"].Data, f.Grads["bias"].Data)
	}
}

func TestSigmoidByCentralDifferences(t *testing.T) {
	for _, c := range []struct {
		samples, d  int
		scale, bias float64
	}{{2, 3, 1, 0}, {7, 5, math.Log(10), -10}, {40, 4, 2, -3}} {
		u := widened(random(keyed.New(5), 2*c.samples*c.d))
		loss, du := sigmoidOf(narrowed(u), c.d, 2, c.scale, c.bias)
		if want := sigmoidDefinition(u, c.d, c.scale, c.bias); math.Abs(loss[0]/want-1) > 1e-5 {
			t.Errorf("%+v: loss %v, want %v", c, loss[0], want)
		}
		differences(t, du, u, 1e-6, func() float64 { return sigmoidDefinition(u, c.d, c.scale, c.bias) })
		both := []float64{c.scale, c.bias}
		differences(t, []float32{float32(loss[1]), float32(loss[2])}, both, 1e-6, func() float64 { return sigmoidDefinition(u, c.d, both[0], both[1]) })
	}
}

// Learned scales reach 100 and more: e^{100} overflows float32.
func TestSigmoidAtALargeScale(t *testing.T) {
	u := make([]float32, 8*4)
	for i := range u {
		u[i] = 0.5
	}
	for _, bias := range []float64{-10, 50, -200} {
		loss, du := sigmoidOf(u, 4, 2, math.Log(100), bias)
		want := sigmoidDefinition(widened(u), 4, math.Log(100), bias)
		if !(math.Abs(loss[0]-want) <= 1e-4*want) {
			t.Errorf("bias %v: loss %v, want %v", bias, loss[0], want)
		}
		for _, g := range append(widened(du), loss[1:]...) {
			if math.IsNaN(g) || math.IsInf(g, 0) {
				t.Errorf("bias %v: a slope is %v", bias, g)
			}
		}
	}
}

func TestSigmoidReportsNaN(t *testing.T) {
	z := random(keyed.New(1), 4*3)
	z[4] = float32(math.NaN())
	x := Sigmoid{Z: z, D: 3, Scale: 10, Bias: -10}
	figures := make([]float32, SigmoidFigures*4)
	x.Figures(figures, 0)
	if _, _, _, ok := x.Loss(figures); ok {
		t.Error("NaN passed as finite")
	}
}
