package task

import (
	"context"
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// barlowTwins makes the cross-correlation of the embedding's elements between the two views, over the global batch, the identity (Zbontar et
// al., "Barlow Twins: self-supervised learning via redundancy reduction", ICML 2021).
type barlowTwins struct {
	*columns
	loss         objective.Barlow
	terms        objective.BarlowTerms // of the step in flight
	correlations []*tensor.Dense       // of each owned virtual rank, (d, d)
}

func newBarlowTwins(c Config, e Environment) (Task, error) {
	if !(c.Redundancy >= 0) {
		return nil, fmt.Errorf("make task barlowtwins: redundancy is %v, expected 0 or more", c.Redundancy)
	}
	shared, err := newColumns(c, e)
	if err != nil {
		return nil, err
	}
	d := shared.encoder.width
	t := &barlowTwins{columns: shared, loss: objective.Barlow{D: d, Samples: e.GlobalBatch, Redundancy: c.Redundancy}}
	for range e.owned() {
		t.correlations = append(t.correlations, zeros(d, d))
	}
	return t, nil
}

func (t *barlowTwins) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	if err := t.forward(ctx, g, step, own); err != nil {
		return nil, err
	}
	scales, err := t.standardise(ctx, g)
	if err != nil {
		return nil, err
	}
	simd.Parallel(len(own), func(i int) {
		t.loss.Correlation(t.correlations[i].Float32s(), t.view(t.centred[i], 0), t.view(t.centred[i], 1))
	})
	total, err := g.Sum(ctx, t.correlations)
	if err != nil {
		return nil, fmt.Errorf("sum the correlations of the embeddings: %w", err)
	}
	t.loss.Terms(&t.terms, total.Float32s(), scales)
	loss := t.loss.Loss(&t.terms)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, lossNotFinite(step)
	}
	err = t.finish(ctx, g, update, func(i, view int, dz []float32) {
		t.loss.Gradient(dz, t.view(t.centred[i], view), t.view(t.centred[i], 1-view), &t.terms, view)
	})
	if err != nil {
		return nil, err
	}
	return Metrics{"loss": loss, "chanceLoss": float64(t.loss.D), "invariance": t.terms.Invariance, "redundancy": t.terms.Redundancy}, nil
}

// standardise divides the columns of the centred embeddings by their deviation over the batch, and returns the factors, (d) for each view.
func (t *barlowTwins) standardise(ctx context.Context, g Group) (scales [2][]float32, err error) {
	d, n := t.encoder.width, t.env.micro()
	none := make([]float32, d)
	squares, err := t.sumRows(ctx, g, func(i, view int, dst []float32) {
		simd.ColumnSqDev(dst, t.view(t.centred[i], view), none, n, d)
	})
	if err != nil {
		return scales, fmt.Errorf("sum the variances of the embeddings: %w", err)
	}
	for view := range 2 {
		scales[view] = squares[view]
		t.loss.Scales(scales[view], squares[view])
	}
	simd.Parallel(len(t.centred), func(i int) {
		for view := range 2 {
			rows := t.view(t.centred[i], view)
			simd.ScaleShift(rows, rows, scales[view], none, n, d)
		}
	})
	return scales, nil
}
