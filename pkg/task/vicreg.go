package task

import (
	"context"
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// vicreg pulls the views of a sample together, while it keeps the embedding's elements spread out and uncorrelated over the global batch
// (Bardes, Ponce and LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised learning", ICLR 2022).
type vicreg struct {
	*columns
	loss     objective.VICReg
	scatters []*tensor.Dense // of each owned virtual rank, of each view: (2, d, d)
}

func newVICReg(c Config, e Environment) (Task, error) {
	for _, w := range []float64{c.Invariance, c.Variance, c.Covariance} {
		if !(w >= 0) {
			return nil, fmt.Errorf("make task vicreg: weights are %v, %v and %v, expected none below 0", c.Invariance, c.Variance, c.Covariance)
		}
	}
	shared, err := newColumns(c, e)
	if err != nil {
		return nil, err
	}
	d := shared.encoder.width
	t := &vicreg{columns: shared, loss: objective.VICReg{D: d, Samples: e.GlobalBatch, Invariance: c.Invariance, Variance: c.Variance, Covariance: c.Covariance}}
	for range e.owned() {
		t.scatters = append(t.scatters, zeros(2, d, d))
	}
	return t, nil
}

func (t *vicreg) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	if err := t.forward(ctx, g, step, own); err != nil {
		return nil, err
	}
	distance, err := t.distance(ctx, g)
	if err != nil {
		return nil, err
	}
	simd.Parallel(len(own), func(i int) {
		for view := range 2 {
			t.loss.Scatter(t.view(t.scatters[i].Float32s(), view), t.view(t.centred[i], view))
		}
	})
	total, err := g.Sum(ctx, t.scatters)
	if err != nil {
		return nil, fmt.Errorf("sum the covariances of the embeddings: %w", err)
	}
	m := [2][]float32{t.view(total.Float32s(), 0), t.view(total.Float32s(), 1)}
	terms := t.loss.Terms(m, distance)
	loss := t.loss.Loss(terms)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, lossNotFinite(step)
	}
	err = t.finish(ctx, g, update, func(i, view int, dz []float32) {
		raw := t.encoder.runs[i].raw
		t.loss.Gradient(dz, t.view(t.centred[i], view), t.view(raw, view), t.view(raw, 1-view), m[view])
	})
	if err != nil {
		return nil, err
	}
	return Metrics{
		"loss": loss, "chanceLoss": t.loss.Collapsed(),
		"invariance": terms.Invariance, "variance": terms.Variance, "covariance": terms.Covariance,
	}, nil
}

// distance is the summed squared distance between the views of all samples.
func (t *vicreg) distance(ctx context.Context, g Group) (sum float64, err error) {
	all, err := gather(ctx, g, t.env, 1, func(i int) []float32 {
		raw := t.encoder.runs[i].raw
		return []float32{float32(t.loss.Distance(t.view(raw, 0), t.view(raw, 1)))}
	})
	if err != nil {
		return 0, err
	}
	for _, x := range all[0] {
		sum += float64(x)
	}
	return sum, nil
}
