package nn

import (
	"errors"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// weights counts a model's parameters without drawing them.
func weights(t *testing.T, name string, o Options) (total int, names []string) {
	t.Helper()
	arch, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	_, b := assemble(arch, o)
	for _, p := range b.params.params {
		total += p.Len
		names = append(names, p.Name)
	}
	return total, names
}

// torchvision's models have 11,689,512 and 25,557,032 parameters, 513,000 and 2,049,000 of them in the classifier that is not ours.
func TestResidualNetworksHaveTorchvisionsParameters(t *testing.T) {
	o := Options{InH: 224, InW: 224, InC: 3, Stem: StemImageNet}
	total, names := weights(t, "resnet18", o)
	if total != 11689512-513000 || len(names) != 60 {
		t.Errorf("resnet18: %d parameters in %d tensors", total, len(names))
	}
	for _, name := range []string{"layer1.1.conv2.weight", "layer2.0.downsample.0.weight", "layer4.0.downsample.1.bias", "layer4.1.bn2.weight"} {
		if !slices.Contains(names, name) {
			t.Errorf("resnet18 has no %s", name)
		}
	}
	if slices.Contains(names, "layer1.0.downsample.0.weight") {
		t.Error("resnet18 projects where nothing changes")
	}
	total, names = weights(t, "resnet50", o)
	if total != 25557032-2049000 || len(names) != 159 {
		t.Errorf("resnet50: %d parameters in %d tensors", total, len(names))
	}
	for _, name := range []string{"layer1.0.downsample.0.weight", "layer3.5.conv3.weight", "layer4.2.bn3.bias"} {
		if !slices.Contains(names, name) {
			t.Errorf("resnet50 has no %s", name)
		}
	}
	o.Stem = StemCIFAR
	if total, _ = weights(t, "resnet18", o); total != 11689512-513000-64*3*(49-9) {
		t.Errorf("resnet18 with the small stem: %d parameters", total)
	}
}

func TestUnknownStemIsRefused(t *testing.T) {
	_, err := thin["thin basic"].model(Options{InH: 8, InW: 8, InC: 1, Stem: "small"}, keyed.New(1))
	if !errors.Is(err, ErrOptions) {
		t.Errorf("stem \"small\": %v", err)
	}
}
