package worker

import (
	"fmt"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/transform"
)

// newPipeline makes the job's pipeline from a sample to a view.
func newPipeline(job *jobspec.Job) (*transform.Pipeline, error) {
	var ops []transform.Op
	for i, t := range job.Spec.Transforms {
		op, err := newOp(t)
		if err != nil {
			return nil, fmt.Errorf("spec.transforms[%d]: %w", i, err)
		}
		ops = append(ops, op)
	}
	image := job.Spec.Model.Image
	p, err := transform.New(image.Height, image.Width, image.Channels, ops...)
	if err != nil {
		return nil, fmt.Errorf("spec.transforms: %w", err)
	}
	return p, nil
}

// newOp joins a transform of the job file to its implementation.
func newOp(t jobspec.Transform) (transform.Op, error) {
	switch {
	case t.RandomResizedCrop != nil:
		c := t.RandomResizedCrop
		return transform.RandomResizedCrop{Height: c.Size, Width: c.Size, Area: [2]float64(c.Area), Ratio: [2]float64(c.Ratio)}, nil
	case t.Flip != nil:
		return transform.Flip{Probability: t.Flip.Probability}, nil
	case t.Jitter != nil:
		j := t.Jitter
		return transform.Jitter{Brightness: j.Brightness, Contrast: j.Contrast, Gamma: j.Gamma, Probability: j.Probability}, nil
	case t.Erase != nil:
		return transform.Erase{Probability: t.Erase.Probability, Area: [2]float64(t.Erase.Area)}, nil
	case t.Noise != nil:
		return transform.Noise{Std: t.Noise.Std}, nil
	case t.Normalize != nil:
		return newNormalize(t.Normalize), nil
	}
	return nil, fmt.Errorf("no transform is named; this binary is older than the job file")
}

func newNormalize(n *jobspec.Normalize) transform.Normalize {
	out := transform.Normalize{}
	for i := range n.Mean {
		out.Mean, out.Std = append(out.Mean, float32(n.Mean[i])), append(out.Std, float32(n.Std[i]))
	}
	return out
}

// normalization is the job's normalisation, or the one that changes nothing.
func normalization(job *jobspec.Job) transform.Normalize {
	for _, t := range job.Spec.Transforms {
		if t.Normalize != nil {
			return newNormalize(t.Normalize)
		}
	}
	return transform.Normalize{Mean: []float32{0}, Std: []float32{1}}
}

// newCleanPipeline makes the pipeline of evaluation: scaled to the model's size and normalised as the training views are.
func newCleanPipeline(job *jobspec.Job) (*transform.Pipeline, error) {
	image := job.Spec.Model.Image
	return transform.Evaluation(image.Height, image.Width, image.Channels, normalization(job))
}
