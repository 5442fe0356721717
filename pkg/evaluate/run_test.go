package evaluate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// flatten is an encoder whose features and embeddings are the pixels.
type flatten struct {
	sizes []int // of the chunks it got
	err   error
	wrong bool // give the wrong number of rows
}

func (f *flatten) Features(images *tensor.Dense) (*tensor.Dense, error) {
	n := images.Shape()[0]
	f.sizes = append(f.sizes, n)
	x := slices.Clone(images.Float32s())
	if f.wrong {
		return dense(x[:len(x)/n], 1, len(x)/n), f.err
	}
	return dense(x, n, len(x)/n), f.err
}

func (f *flatten) Embeddings(images *tensor.Dense) (*tensor.Dense, error) { return f.Features(images) }

func (f *flatten) Parameters() []task.Named { return nil }

func images(s Set) Images {
	shape := s.Features.Shape()
	return Images{dense(s.Features.Float32s(), shape[0], 2, 2, shape[1]/4), s.Labels}
}

func testData() Data {
	return Data{Train: images(blobs(1, 1201, 8, 3, 1)), Test: images(blobs(2, 500, 8, 3, 1)), View1: normals(1, 600, 2, 2, 2), View2: normals(2, 600, 2, 2, 2)}
}

func TestRunGivesEveryMeasure(t *testing.T) {
	data, enc := testData(), &flatten{}
	got, err := Run(t.Context(), data, enc, DefaultOptions())
	check(t, err)
	want := []string{"alignment", "effectiveRank", "knn.top1", "linear.top1", "meanCosine", "uniformity"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("results %v, want %v", names, want)
	}
	if sizes := []int{500, 500, 201, 500, 500, 100, 500, 100}; !slices.Equal(enc.sizes, sizes) {
		t.Errorf("encoder got chunks %v, want %v", enc.sizes, sizes)
	}
	train := Set{dense(data.Train.Pixels.Float32s(), 1201, 8), data.Train.Labels}
	test := Set{dense(data.Test.Pixels.Float32s(), 500, 8), data.Test.Labels}
	knn, err := KNN(t.Context(), train, test, 20, 0.1)
	check(t, err)
	linear, err := LinearProbe(t.Context(), train, test, Probe{1e-4, 100})
	check(t, err)
	alignment, err := Alignment(dense(data.View1.Float32s(), 600, 8), dense(data.View2.Float32s(), 600, 8))
	check(t, err)
	if got["knn.top1"] != knn || got["linear.top1"] != linear || got["alignment"] != alignment {
		t.Errorf("results %v, want knn %v, linear %v, alignment %v", got, knn, linear, alignment)
	}
	if ok, reason := Healthy(got); !ok {
		t.Errorf("random directions are not healthy: %s", reason)
	}
}

func TestFloorsAreOfThePixelsBeforeNormalisation(t *testing.T) {
	data := testData()
	got, err := Floors(t.Context(), data, &flatten{}, DefaultOptions())
	check(t, err)
	want := []string{"rawPixel.knn.top1", "rawPixel.linear.top1", "untrained.knn.top1", "untrained.linear.top1"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("results %v, want %v", names, want)
	}
	if got["rawPixel.knn.top1"] != got["untrained.knn.top1"] {
		t.Errorf("pixels that were not normalised: %v, want the same from both", got)
	}
	// Shifting and scaling the pixels of channel 0 and telling so changes only the encoder's view of them.
	shifted := testData()
	for _, m := range []Images{shifted.Train, shifted.Test} {
		x := m.Pixels.Float32s()
		for i := 0; i < len(x); i += 2 {
			x[i] = (x[i] - 40) / 0.25
		}
	}
	shifted.Mean, shifted.Std = []float32{40, 0}, []float32{0.25, 1}
	moved, err := Floors(t.Context(), shifted, &flatten{}, DefaultOptions())
	check(t, err)
	if !near(moved["rawPixel.knn.top1"], got["rawPixel.knn.top1"], 0.005) {
		t.Errorf("raw pixel floor moved from %v to %v", got["rawPixel.knn.top1"], moved["rawPixel.knn.top1"])
	}
	if moved["untrained.knn.top1"] == got["untrained.knn.top1"] {
		t.Error("the encoder did not see the normalised pixels")
	}
	shifted.Mean, shifted.Std = []float32{1, 2, 3}, []float32{1, 2, 3}
	if _, err := Floors(t.Context(), shifted, &flatten{}, DefaultOptions()); err == nil || !strings.Contains(err.Error(), "3 means") {
		t.Errorf("Floors: %v, want an error about the means", err)
	}
}

func TestRunFailsWithItsCause(t *testing.T) {
	cause := errors.New("no memory")
	if _, err := Run(t.Context(), testData(), &flatten{err: cause}, DefaultOptions()); !errors.Is(err, cause) || !strings.Contains(err.Error(), "compute training features of images 0 to 499") {
		t.Errorf("Run: %v, want the cause and what was done", err)
	}
	if _, err := Run(t.Context(), testData(), &flatten{wrong: true}, DefaultOptions()); err == nil || !strings.Contains(err.Error(), "the encoder gave shape (1, 8) for 500 images") {
		t.Errorf("Run: %v, want an error about the shape", err)
	}
	flat := testData()
	flat.Train.Pixels = dense(flat.Train.Pixels.Float32s(), 1201, 8)
	if _, err := Run(t.Context(), flat, &flatten{}, DefaultOptions()); err == nil || !strings.Contains(err.Error(), "expected (N, H, W, C)") {
		t.Errorf("Run: %v, want an error about the shape", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, testData(), &flatten{}, DefaultOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want the context's error", err)
	}
}
