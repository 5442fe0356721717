package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// columns is what Barlow Twins and VICReg share: they compare the columns of the global batch's embeddings instead of its rows. What they
// need of all virtual ranks are sums over samples: means, and products of columns, d² numbers that do not grow with the batch. Every
// gradient is local.
type columns struct {
	env     Environment
	encoder *trainedBranch
	views   []stack
	centred [][]float32     // of each owned virtual rank: embeddings less the batch's mean, (2n, d)
	rows    []*tensor.Dense // of each owned virtual rank: one row for each view, (2, d)
	means   [2][]float32    // of each view over the batch of the step in flight, negative
	// running is the mean of both views' embeddings, (d), moved as batch norms move theirs. The losses do not see where embeddings lie as a
	// whole, so a snapshot compares them around this centre.
	running *tensor.Dense
}

func newColumns(c Config, e Environment) (*columns, error) {
	if e.GlobalBatch < 2 {
		return nil, fmt.Errorf("make task %s: a batch of %d has no variance, expected 2 or more", c.Name, e.GlobalBatch)
	}
	t := &columns{env: e, encoder: newTrainedBranch(encoderName, e.Model, e, 2*e.micro()), views: make([]stack, e.owned())}
	t.running = zeros(t.encoder.width)
	for range e.owned() {
		t.centred = append(t.centred, make([]float32, 2*e.micro()*t.encoder.width))
		t.rows = append(t.rows, zeros(2, t.encoder.width))
	}
	return t, nil
}

func (t *columns) State() []Var {
	return append(t.encoder.state(), Var{Name: "center.mean", Value: t.running})
}
func (t *columns) Trained() []ParameterGroup { return []ParameterGroup{t.encoder.group()} }
func (t *columns) Restored() error           { return nil }
func (t *columns) BankBytes() uint64         { return 0 }

func (t *columns) Snapshot() Encoder {
	return &snapshot{model: t.encoder.model.Clone(), center: slices.Clone(t.running.Float32s())}
}

// forward embeds both views and centres them.
func (t *columns) forward(ctx context.Context, g Group, step uint64, own []Batch) error {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) { t.encoder.forward(step, i, t.views[i].of(own[i])) })
	sums, err := t.sumRows(ctx, g, func(i, view int, dst []float32) {
		simd.ColumnSum(dst, t.view(t.encoder.runs[i].raw, view), t.env.micro(), t.encoder.width)
	})
	if err != nil {
		return fmt.Errorf("sum embeddings: %w", err)
	}
	t.means = sums
	for _, sum := range sums {
		simd.Scale(sum, -1/float32(t.env.GlobalBatch))
	}
	simd.Parallel(len(own), func(i int) {
		copy(t.centred[i], t.encoder.runs[i].raw)
		for view := range 2 {
			simd.AddRow(t.view(t.centred[i], view), t.means[view], t.env.micro(), t.encoder.width)
		}
	})
	return nil
}

// sumRows adds up a row of d numbers for each view over all virtual ranks.
func (t *columns) sumRows(ctx context.Context, g Group, row func(i, view int, dst []float32)) (sums [2][]float32, err error) {
	simd.Parallel(len(t.rows), func(i int) {
		for view := range 2 {
			row(i, view, t.view(t.rows[i].Float32s(), view))
		}
	})
	all, err := g.Sum(ctx, t.rows)
	if err != nil {
		return sums, err
	}
	return [2][]float32{t.view(all.Float32s(), 0), t.view(all.Float32s(), 1)}, nil
}

// view is the first or second half of something that holds both views.
func (t *columns) view(of []float32, view int) []float32 {
	half := len(of) / 2
	return of[view*half : (view+1)*half]
}

// finish takes the gradients that gradient writes for one view of an owned virtual rank, (n, d), to the parameters, and updates them.
func (t *columns) finish(ctx context.Context, g Group, update Update, gradient func(i, view int, dz []float32)) error {
	t.env.enter(PhaseBackward)
	simd.Parallel(t.env.owned(), func(i int) {
		for view := range 2 {
			gradient(i, view, t.view(t.encoder.gradient(i), view))
		}
		t.encoder.backwardRaw(i)
	})
	statistics, err := sumStatistics(ctx, g, t.encoder.branch)
	if err != nil {
		return err
	}
	if err := update(ctx, t.encoder.name); err != nil {
		return err
	}
	observe(statistics, t.env.VirtualRanks, t.encoder.branch)
	simd.Scale(t.running.Float32s(), 1-batchNormMomentum)
	for _, mean := range t.means {
		simd.Axpy(t.running.Float32s(), -batchNormMomentum/2, mean)
	}
	return nil
}
