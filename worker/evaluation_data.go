package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/evaluate"
	"github.com/sslctl/sslctl/pkg/transform"
	"github.com/sslctl/sslctl/shard"
	"gorgonia.org/tensor"
)

// alignmentImages is how many test images the measures of collapse use, at most.
const alignmentImages = 2000

// readEvaluationData reads both labelled sets into memory, clean and normalised, and two augmented views of the first test images.
func readEvaluationData(ctx context.Context, s *session, stores *stores) (evaluate.Data, error) {
	spec := s.job.Spec.Evaluate
	clean, err := newCleanPipeline(s.job)
	if err != nil {
		return evaluate.Data{}, fmt.Errorf("spec.evaluate: %w", err)
	}
	train, _, err := readLabelled(ctx, s, stores, "spec.evaluate.train", spec.Train, clean, 0)
	if err != nil {
		return evaluate.Data{}, err
	}
	test, kept, err := readLabelled(ctx, s, stores, "spec.evaluate.test", spec.Test, clean, alignmentImages)
	if err != nil {
		return evaluate.Data{}, err
	}
	normalize := normalization(s.job)
	data := evaluate.Data{Train: train, Test: test, Mean: normalize.Mean, Std: normalize.Std}
	pipeline, err := newPipeline(s.job)
	if err != nil {
		return evaluate.Data{}, err
	}
	batcher := transform.NewBatcher(pipeline)
	positions := make([]uint64, len(kept))
	for i := range positions {
		positions[i] = uint64(i)
	}
	key := s.key.For("evaluate.views")
	for i, view := range []**tensor.Dense{&data.View1, &data.View2} {
		*view = batcher.New(len(kept))
		if err := batcher.View(*view, kept, positions, uint64(i), key); err != nil {
			return evaluate.Data{}, fmt.Errorf("make views of the test images: %w", err)
		}
	}
	return data, nil
}

// readLabelled reads one labelled set and returns its clean images, and the first keep of them as decoded. Samples that cannot be decoded
// are an error: a measure over fewer samples than it says would mislead.
func readLabelled(ctx context.Context, s *session, stores *stores, field string, source jobspec.Source, clean *transform.Pipeline, keep int) (evaluate.Images, []transform.Image, error) {
	access, err := s.access(source.Access, telemetry.StoreEvaluation)
	if err != nil {
		return evaluate.Images{}, nil, fmt.Errorf("%s: %w", field, err)
	}
	data, err := shard.Open(ctx, source.URI, shard.Options{Access: access, Cache: stores.checkpoints.Bucket})
	if err != nil {
		return evaluate.Images{}, nil, inField(field, err)
	}
	h, w, c := clean.Shape()
	size := h * w * c
	pixels := make([]float32, int(data.Len())*size)
	out := evaluate.Images{Pixels: tensor.New(tensor.WithShape(int(data.Len()), h, w, c), tensor.WithBacking(pixels))}
	var kept []transform.Image
	err = shard.Scan(ctx, data, func(sample shard.Sample) error {
		label, labelErr := shard.Label(sample)
		image, decodeErr := transform.Decode(sample.Members, c)
		if err := errors.Join(labelErr, decodeErr); err != nil {
			return fmt.Errorf("%s: %w; every sample of an evaluation set needs a label and an image: mend it, or leave spec.evaluate out", data.Describe(sample.ID), err)
		}
		i := len(out.Labels)
		out.Labels = append(out.Labels, label)
		if len(kept) < keep {
			kept = append(kept, image)
		}
		return clean.Apply(pixels[i*size:(i+1)*size], image, s.key)
	})
	if err != nil {
		return evaluate.Images{}, nil, fmt.Errorf("%s: %w", field, err)
	}
	return out, kept, nil
}
