package optim

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/nn"
)

// clippedStep is what one step of plain descent with rate 1 from 0 takes off each value: the gradient that the optimizer saw.
func clippedStep(t *testing.T, limit float64, gradient []float64) []float32 {
	t.Helper()
	params := arena(make([]float64, len(gradient)))
	grad := make([]float32, len(params.Data))
	spread(params, grad, gradient)
	mustNew(t, Config{Name: "sgd", ClipNorm: limit}, params).Step(grad, 1, 0)
	seen := make([]float32, len(params.Data))
	for i, v := range params.Data {
		seen[i] = -v
	}
	return seen
}

// The arena holds the gradient twice, in two parameters: the norm is over both.
func TestClippingIsByTheNormOverAllParameters(t *testing.T) {
	gradient := []float64{3, 0, -4}
	norm := 5 * math.Sqrt2
	for _, c := range []struct{ limit, factor float64 }{{1, 1 / norm}, {7, 7 / norm}, {7.08, 1}, {0, 1}, {1e30, 1}} {
		seen := clippedStep(t, c.limit, gradient)
		for _, at := range []int{0, nn.Align} {
			for i, g := range gradient {
				if got, want := float64(seen[at+i]), g*c.factor; math.Abs(got-want) > 2e-6*math.Abs(g) {
					t.Errorf("limit %v: element %d is %v, want %v", c.limit, at+i, got, want)
				}
			}
		}
	}
}

// Squares beyond float32 are no reason to lose a step, and a gradient of 0 stays 0.
func TestClippingOfExtremeGradients(t *testing.T) {
	if seen := clippedStep(t, 1, []float64{math.MaxFloat32}); math.Abs(float64(seen[0])-math.Sqrt2/2) > 1e-6 {
		t.Errorf("the largest number is clipped to %v, want %v", seen[0], math.Sqrt2/2)
	}
	if seen := clippedStep(t, 1, []float64{0, 0}); seen[0] != 0 || seen[1] != 0 {
		t.Errorf("a gradient of 0 becomes %v", seen[:2])
	}
}

// The norm does not depend on how many threads sum it, and its error not on the number of elements.
func TestTheNormOfManyElements(t *testing.T) {
	gradient := make([]float64, 5*runLength+3)
	want := 0.0
	for i := range gradient {
		gradient[i] = float64(float32(0.1 + 1e-3*float64(i%7)))
		want += 2 * gradient[i] * gradient[i]
	}
	seen := clippedStep(t, 1, gradient)
	if got := gradient[0] / float64(seen[0]); math.Abs(got-math.Sqrt(want)) > 1e-6*got {
		t.Errorf("the norm is %v, want %v", got, math.Sqrt(want))
	}
}
