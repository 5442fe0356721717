package optim

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/nn"
)

// larsStep takes one step with rate 1 and returns the first values of the parameter with weight decay and of the one without.
func larsStep(t *testing.T, c Config, values, gradient []float64) (decayed, spared float64) {
	t.Helper()
	params := arena(values)
	grad := make([]float32, len(params.Data))
	spread(params, grad, gradient)
	c.Name = "lars"
	mustNew(t, c, params).Step(grad, 1, 0)
	return float64(params.Data[0]), float64(params.Data[nn.Align])
}

func wantNear(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6*math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// ‖p‖ is 5 and ‖g‖ is 10: the first value moves by η·5/10·6.
func TestLayerWiseRates(t *testing.T) {
	values, gradient := []float64{3, 4}, []float64{6, 8}
	decayed, spared := larsStep(t, Config{TrustCoefficient: 0.01}, values, gradient)
	wantNear(t, "without weight decay the rate is by layer all the same", decayed, 3-0.01*0.5*6)
	wantNear(t, "nothing is spared unless asked for", spared, decayed)

	decayed, spared = larsStep(t, Config{TrustCoefficient: 0.01, WeightDecay: 1, ExcludeNormAndBias: true}, values, gradient)
	wantNear(t, "weight decay is in the gradient and its norm", decayed, 3-0.01*5/15*9)
	wantNear(t, "a spared parameter takes the step of plain descent", spared, 3-6)
}

func TestLayerWiseRatesOfNothing(t *testing.T) {
	decayed, _ := larsStep(t, Config{}, []float64{0, 0}, []float64{6, 8})
	wantNear(t, "a parameter of 0 moves by the gradient", decayed, -6)
	decayed, _ = larsStep(t, Config{}, []float64{3, 4}, []float64{0, 0})
	wantNear(t, "without gradient nothing moves", decayed, 3)
	decayed, _ = larsStep(t, Config{TrustCoefficient: 1}, []float64{3, 4}, []float64{0, math.SmallestNonzeroFloat32})
	wantNear(t, "a vanishing gradient moves nothing out of range", decayed, 3)
}

// The norm is of a whole parameter, also where it is worked on in several runs.
func TestALayerOfManyElementsHasOneRate(t *testing.T) {
	const n = 3*runLength + 1
	values, gradient := make([]float64, n), make([]float64, n)
	for i := range values {
		values[i], gradient[i] = 1+float64(i/runLength), 0.5
	}
	p2, g2 := 0.0, 0.0
	for i := range values {
		p2 += values[i] * values[i]
		g2 += gradient[i] * gradient[i]
	}
	first, _ := larsStep(t, Config{TrustCoefficient: 0.1}, values, gradient)
	wantNear(t, "first value", first, 1-0.1*math.Sqrt(p2/g2)*0.5)
}
