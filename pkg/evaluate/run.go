package evaluate

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// Names of the results. Accuracies are fractions.
const (
	MetricKNN             = "knn.top1"
	MetricLinear          = "linear.top1"
	MetricAlignment       = "alignment"
	MetricUniformity      = "uniformity"
	MetricEffectiveRank   = "effectiveRank"
	MetricMeanCosine      = "meanCosine"
	MetricRawPixelKNN     = "rawPixel.knn.top1"
	MetricRawPixelLinear  = "rawPixel.linear.top1"
	MetricUntrainedKNN    = "untrained.knn.top1"
	MetricUntrainedLinear = "untrained.linear.top1"
)

// Images are normalised images (N, H, W, C) with one label each.
type Images struct {
	Pixels *tensor.Dense
	Labels []int
}

// Data is what a model is evaluated on.
type Data struct {
	Train, Test  Images
	View1, View2 *tensor.Dense // two augmented and normalised views of the same images each, (M, H, W, C), M ≥ 2
	// Mean and Std are what the images were normalised with, one value or one for each channel; empty if they were not. The raw-pixel floors
	// are those of the pixels before.
	Mean, Std []float32
}

// Options of the evaluation.
type Options struct {
	K           int     // neighbours that vote
	Temperature float64 // of their weights
	Probe       Probe
}

// DefaultOptions are the settings under which results of self-supervised models are usually compared: k 20, temperature 0.1, L2 1e-4 and 100
// iterations.
func DefaultOptions() Options {
	return Options{K: 20, Temperature: 0.1, Probe: Probe{L2: 1e-4, Iterations: 100}}
}

// Run evaluates an encoder: knn.top1 and linear.top1 on its features of clean images; alignment of its embeddings of the two views; uniformity,
// effectiveRank and meanCosine of its embeddings of the first. The encoder is used by one goroutine at a time.
func Run(ctx context.Context, data Data, enc task.Encoder, o Options) (map[string]float64, error) {
	knn, linear, err := encoded(ctx, data, enc, o)
	if err != nil {
		return nil, err
	}
	z1, err := inChunks(ctx, "embeddings of view 1", data.View1, enc.Embeddings)
	if err != nil {
		return nil, err
	}
	z2, err := inChunks(ctx, "embeddings of view 2", data.View2, enc.Embeddings)
	if err != nil {
		return nil, err
	}
	result := map[string]float64{MetricKNN: knn, MetricLinear: linear}
	if result[MetricAlignment], err = Alignment(z1, z2); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		name    string
		measure func(*tensor.Dense) (float64, error)
	}{{MetricUniformity, Uniformity}, {MetricEffectiveRank, EffectiveRank}, {MetricMeanCosine, MeanCosine}} {
		if result[m.name], err = m.measure(z1); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// Floors measures what needs no training: rawPixel.knn.top1 and rawPixel.linear.top1 on the pixels themselves, untrained.knn.top1 and
// untrained.linear.top1 on the features of the same model with random weights.
func Floors(ctx context.Context, data Data, untrained task.Encoder, o Options) (map[string]float64, error) {
	train, err := data.raw(data.Train)
	if err != nil {
		return nil, fmt.Errorf("evaluate raw pixels: %w", err)
	}
	test, err := data.raw(data.Test)
	if err != nil {
		return nil, fmt.Errorf("evaluate raw pixels: %w", err)
	}
	pixelKNN, pixelLinear, err := accuracies(ctx, train, test, o)
	if err != nil {
		return nil, fmt.Errorf("evaluate raw pixels: %w", err)
	}
	knn, linear, err := encoded(ctx, data, untrained, o)
	if err != nil {
		return nil, fmt.Errorf("evaluate the untrained model: %w", err)
	}
	return map[string]float64{
		MetricRawPixelKNN: pixelKNN, MetricRawPixelLinear: pixelLinear, MetricUntrainedKNN: knn, MetricUntrainedLinear: linear,
	}, nil
}

// raw takes the normalisation back.
func (d Data) raw(images Images) (Set, error) {
	in, err := toMatrix("images", images.Pixels)
	if err != nil {
		return Set{}, err
	}
	channels := len(d.Mean)
	if channels == 0 {
		return Set{images.Pixels, images.Labels}, nil
	}
	if shape := images.Pixels.Shape(); len(d.Std) != channels || channels != 1 && channels != shape[len(shape)-1] {
		return Set{}, fmt.Errorf("images of shape %v with %d means and %d standard deviations: expected one of each, or one for each channel", shape, channels, len(d.Std))
	}
	out := make([]float32, len(in.data))
	for i, v := range in.data {
		out[i] = float32(v*d.Std[i%channels]) + d.Mean[i%channels]
	}
	return Set{tensor.New(tensor.WithShape(in.rows, in.cols), tensor.WithBacking(out)), images.Labels}, nil
}

// encoded measures accuracies on an encoder's features.
func encoded(ctx context.Context, data Data, enc task.Encoder, o Options) (knn, linear float64, err error) {
	train, err := inChunks(ctx, "training features", data.Train.Pixels, enc.Features)
	if err != nil {
		return 0, 0, err
	}
	test, err := inChunks(ctx, "test features", data.Test.Pixels, enc.Features)
	if err != nil {
		return 0, 0, err
	}
	return accuracies(ctx, Set{train, data.Train.Labels}, Set{test, data.Test.Labels}, o)
}

func accuracies(ctx context.Context, train, test Set, o Options) (knn, linear float64, err error) {
	if knn, err = KNN(ctx, train, test, o.K, o.Temperature); err != nil {
		return 0, 0, err
	}
	linear, err = LinearProbe(ctx, train, test, o.Probe)
	return knn, linear, err
}

// inChunks encodes images, 500 at a time, and gathers the rows, (N, F). The size of the chunks is fixed: kernels then see the same shapes
// wherever the evaluation runs.
func inChunks(ctx context.Context, what string, images *tensor.Dense, encode func(*tensor.Dense) (*tensor.Dense, error)) (*tensor.Dense, error) {
	in, err := toMatrix("images", images)
	if err != nil {
		return nil, fmt.Errorf("compute %s: %w", what, err)
	}
	shape := images.Shape()
	if len(shape) != 4 {
		return nil, fmt.Errorf("compute %s of images of shape %v: expected (N, H, W, C)", what, shape)
	}
	var out []float32
	width := 0
	for lo := 0; lo < in.rows; lo += chunk {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("compute %s: %w", what, err)
		}
		n := min(chunk, in.rows-lo)
		part := tensor.New(tensor.WithShape(n, shape[1], shape[2], shape[3]), tensor.WithBacking(in.data[lo*in.cols:(lo+n)*in.cols:(lo+n)*in.cols]))
		rows, err := encode(part)
		if err != nil {
			return nil, fmt.Errorf("compute %s of images %d to %d: %w", what, lo, lo+n-1, err)
		}
		if s := rows.Shape(); len(s) != 2 || s[0] != n || width != 0 && s[1] != width {
			return nil, fmt.Errorf("compute %s of images %d to %d: the encoder gave shape %v for %d images", what, lo, lo+n-1, s, n)
		}
		if out == nil {
			width = rows.Shape()[1]
			out = make([]float32, 0, in.rows*width)
		}
		out = append(out, rows.Float32s()...)
	}
	return tensor.New(tensor.WithShape(in.rows, width), tensor.WithBacking(out)), nil
}
