package nn

import (
	"math"
	"strings"
	"testing"
)

// predicting is the reference model with a predictor.
func predicting() Options {
	o := small()
	o.Predictor = &Predictor{Hidden: 32, BatchNorm: true}
	return o
}

func TestThePredictorComesLast(t *testing.T) {
	m, plain := build(t, "resnet-tiny", predicting()), build(t, "resnet-tiny", small())
	var names []string
	for _, p := range m.Params().Params[len(plain.Params().Params):] {
		names = append(names, p.Name)
	}
	const want = "predictor.0.weight predictor.1.weight predictor.1.bias predictor.3.weight predictor.3.bias"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the predictor's parameters are %s, want %s", got, want)
	}
	same(t, "what comes before the predictor", m.Params().Data[:len(plain.Params().Data)], plain.Params().Data)
	if m.OutDim() != plain.OutDim() {
		t.Errorf("%d outputs, the projector has %d", m.OutDim(), plain.OutDim())
	}
}

func TestCloneWithoutPredictorIsTheProjectorsModel(t *testing.T) {
	m, plain := build(t, "resnet-tiny", predicting()), build(t, "resnet-tiny", small())
	target := m.CloneWithoutPredictor()
	same(t, "parameters", target.Params().Data, plain.Params().Data)
	same(t, "running statistics", target.Running().Data, plain.Running().Data)
	x := drawn("images", 4, 16, 16, 1)
	_, want := plain.Forward(x, true)
	_, z := target.Forward(x, true)
	same(t, "embeddings", z.Float32s(), want.Float32s())
	m.Params().Data[0]++
	same(t, "parameters after the origin moved", target.Params().Data, plain.Params().Data)
	target.Params().Data[0]--
	if v := target.Params().Params[0].Value.Float32s()[0]; v != target.Params().Data[0] {
		t.Error("the parameters do not view the arena")
	}
}

func TestProjectedIsWhatThePredictorSees(t *testing.T) {
	m, plain := build(t, "mlp", predicting()), build(t, "mlp", small())
	x := drawn("images", 4, 16, 16, 1)
	_, want := plain.Forward(x, true)
	m.Forward(x, true)
	same(t, "what the predictor sees", m.Projected().Float32s(), want.Float32s())
	same(t, "without a predictor", plain.Projected().Float32s(), want.Float32s())
	if !m.HasPredictor() || plain.HasPredictor() {
		t.Error("HasPredictor is wrong")
	}
}

// The loss z·dz moves along the gradient of each part of the model at the gradient's length.
func TestGradientThroughThePredictor(t *testing.T) {
	m := build(t, "mlp", predicting())
	x, dz := drawn("images", 8, 16, 16, 1), drawn("upstream", 8, 64)
	loss := func() (sum float64) {
		_, z := m.Forward(x, true)
		for i, v := range z.Float32s() {
			sum += float64(v) * float64(dz.Float32s()[i])
		}
		return sum
	}
	grad := make([]float32, len(m.Params().Data))
	loss()
	m.Backward(dz, grad)
	start := append([]float32(nil), m.Params().Data...)
	for _, part := range []string{"hidden.", ProjectorPrefix, PredictorPrefix} {
		direction, length := make([]float64, len(grad)), 0.0
		for _, p := range m.Params().Params {
			for i := p.Offset; i < p.Offset+p.Len && strings.HasPrefix(p.Name, part); i++ {
				direction[i] = float64(grad[i])
				length += direction[i] * direction[i]
			}
		}
		length = math.Sqrt(length)
		const step = 1e-3
		move := func(by float64) float64 {
			for i := range start {
				m.Params().Data[i] = float32(float64(start[i]) + by*direction[i]/length)
			}
			return loss()
		}
		slope := (move(step) - move(-step)) / (2 * step)
		if math.Abs(slope/length-1) > 0.02 {
			t.Errorf("%s: the loss rises by %v along a gradient of length %v", part, slope, length)
		}
		copy(m.Params().Data, start)
	}
}
