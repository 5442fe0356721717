package nn

import "testing"

// With group norm a sample's features are its own: alone or in a batch, in training or evaluation, they are the same.
func TestGroupNormKeepsSamplesApart(t *testing.T) {
	m := build(t, "resnet-tiny", Options{InH: 16, InW: 16, InC: 1, Norm: NormGroup})
	if len(m.Running().Data) != 0 {
		t.Errorf("%d running statistics", len(m.Running().Data))
	}
	x := drawn("images", 3, 16, 16, 1)
	batch, _ := m.Forward(x, true)
	want := append([]float32(nil), batch.Float32s()...)
	evaluated, _ := m.Forward(x, false)
	same(t, "features in evaluation", evaluated.Float32s(), want)
	one := drawn("images", 1, 16, 16, 1) // the first of the three
	alone, _ := m.Forward(one, true)
	same(t, "features of a sample alone", alone.Float32s(), want[:m.FeatureDim()])
}

func TestGroupNormOfOneSampleTrains(t *testing.T) {
	m := build(t, "resnet-tiny", Options{InH: 16, InW: 16, InC: 1, Norm: NormGroup})
	first := train(m, drawn("images", 1, 16, 16, 1), drawn("upstream", 1, 512))
	train(m, drawn("images", 1, 16, 16, 1), drawn("upstream", 1, 512)).same(t, first)
}
