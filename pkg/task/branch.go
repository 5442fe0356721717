package task

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// branch is an encoder at work: one replica of its model for each owned virtual rank, and what that replica's last forward pass made.
type branch struct {
	*encoder
	lo    int       // the first owned virtual rank
	draws keyed.Key // of dropout
	rows  int       // images of a virtual rank in one pass
	width int       // d, of an embedding
	runs  []run
}

// run is one virtual rank's part of a branch.
type run struct {
	model      *nn.Model
	raw        []float32 // (rows, d) embeddings as the model made them, until its next pass
	unit       []float32 // (rows, d) embeddings, L2-normalised
	norms      []float32 // (rows) of the embeddings before that
	statistics []float32 // batch means and variances, laid out as the model's Running().Data
}

// newBranch puts the model to work on passes of rows images for each virtual rank. Its tensors are a part of the state under name.
func newBranch(name string, m *nn.Model, e Environment, rows int) *branch {
	b := &branch{encoder: newEncoder(name, m), lo: e.Lo, draws: e.Key.For("dropout").For(name), rows: rows, width: m.OutDim()}
	for range e.owned() {
		b.runs = append(b.runs, run{
			model: m.Replica(), unit: make([]float32, rows*b.width), norms: make([]float32, rows), statistics: make([]float32, len(m.Running().Data)),
		})
	}
	return b
}

// forward makes the unit embeddings and the batch statistics of images (rows, H, W, C) of the i-th owned virtual rank in a step. Calls for
// different i may run at the same time.
func (b *branch) forward(step uint64, i int, images *tensor.Dense) {
	r := &b.runs[i]
	r.model.Draw(b.draws.At(step, uint64(b.lo+i)))
	_, z := r.model.Forward(images, true)
	r.raw = z.Float32s()
	objective.Normalize(r.unit, r.raw, r.norms, b.rows, b.width)
	r.model.BatchStats(r.statistics)
}

// unit are the (rows, d) unit embeddings of the i-th owned virtual rank's last forward pass. The slice is live.
func (b *branch) unit(i int) []float32 { return b.runs[i].unit }

// trainedBranch is a branch with a gradient.
type trainedBranch struct {
	*branch
	dz    []*tensor.Dense // (rows, d) for each owned virtual rank
	grads []*tensor.Dense // (n) parameters
}

func newTrainedBranch(name string, m *nn.Model, e Environment, rows int) *trainedBranch {
	b := &trainedBranch{branch: newBranch(name, m, e, rows)}
	for range e.owned() {
		b.dz = append(b.dz, zeros(rows, b.width))
		b.grads = append(b.grads, zeros(len(m.Params().Data)))
	}
	return b
}

// gradient is where the loss's gradient by the embeddings of the i-th owned virtual rank, (rows, d), is put before backward.
func (b *trainedBranch) gradient(i int) []float32 { return b.dz[i].Float32s() }

// backward takes the i-th owned virtual rank's gradient through the normalisation and the model. Calls for different i may run at the
// same time.
func (b *trainedBranch) backward(i int) {
	r := &b.runs[i]
	dz := b.gradient(i)
	objective.NormalizeBackward(dz, dz, r.unit, r.norms, b.rows, b.width)
	b.backwardRaw(i)
}

// backwardRaw is backward where the gradient is one by the embeddings as the model made them.
func (b *trainedBranch) backwardRaw(i int) {
	b.runs[i].model.Backward(b.dz[i], b.grads[i].Float32s())
}

func (b *trainedBranch) group() ParameterGroup {
	return ParameterGroup{Name: b.name, Parameters: b.model.Params(), Grads: b.grads}
}

// sumStatistics adds the batch statistics of the branches' last forward passes over all virtual ranks, in one collective. It comes before
// the update, so that a NaN in them skips the step too; observe takes the sum when the step cannot be skipped any more. Branches without
// batch norm have nothing to add.
func sumStatistics(ctx context.Context, g Group, branches ...*branch) ([]float32, error) {
	total := 0
	for _, b := range branches {
		total += len(b.model.Running().Data)
	}
	if total == 0 {
		return nil, nil
	}
	own := make([]*tensor.Dense, len(branches[0].runs))
	for i := range own {
		all := make([]float32, 0, total)
		for _, b := range branches {
			all = append(all, b.runs[i].statistics...)
		}
		own[i] = tensor.New(tensor.WithShape(len(all)), tensor.WithBacking(all))
	}
	sum, err := g.Sum(ctx, own)
	if err != nil {
		return nil, fmt.Errorf("sum batch-norm statistics: %w", err)
	}
	return sum.Float32s(), nil
}

// observe moves the running statistics of the branches, in the order that sumStatistics had them in.
func observe(sum []float32, virtualRanks int, branches ...*branch) {
	for _, b := range branches {
		n := len(b.model.Running().Data)
		b.encoder.observe(sum[:n], virtualRanks)
		sum = sum[n:]
	}
}

// gather returns the rows of all virtual ranks, in their order, for each of several kinds of rows: of(i) are those of the i-th owned virtual
// rank, (n, d), and each result is (V·n, d). One collective carries them all.
func gather(ctx context.Context, g Group, e Environment, d int, of ...func(i int) []float32) ([][]float32, error) {
	own := make([]*tensor.Dense, e.owned())
	for i := range own {
		var rows []float32
		for _, kind := range of {
			rows = append(rows, kind(i)...)
		}
		own[i] = tensor.New(tensor.WithShape(len(rows)/d, d), tensor.WithBacking(rows))
	}
	all, err := g.AllGather(ctx, own)
	if err != nil {
		return nil, fmt.Errorf("gather embeddings: %w", err)
	}
	if len(of) == 1 {
		return [][]float32{all.Float32s()}, nil
	}
	kinds := make([][]float32, len(of))
	for at := range kinds {
		kinds[at] = make([]float32, 0, len(all.Float32s())/len(of))
	}
	part := len(all.Float32s()) / e.VirtualRanks / len(of)
	for at, rest := 0, all.Float32s(); len(rest) > 0; at, rest = at+1, rest[part:] {
		kinds[at%len(of)] = append(kinds[at%len(of)], rest[:part]...)
	}
	return kinds, nil
}

// gatherNumbers returns what each virtual rank has for the positions of its micro-batch, for all of the step, (B).
func gatherNumbers(ctx context.Context, g Group, own []Batch, of func(Batch) []uint64) ([]uint64, error) {
	numbers := make([]*tensor.Dense, len(own))
	for i, b := range own {
		numbers[i] = tensor.New(tensor.WithShape(len(of(b))), tensor.WithBacking(of(b)))
	}
	all, err := g.AllGather(ctx, numbers)
	if err != nil {
		return nil, err
	}
	return all.Uint64s(), nil
}

// gatherSamples returns the samples at all positions of the step. Their order would tell, but for those that had to be replaced.
func gatherSamples(ctx context.Context, g Group, own []Batch) ([]uint64, error) {
	all, err := gatherNumbers(ctx, g, own, func(b Batch) []uint64 { return b.Samples })
	if err != nil {
		return nil, fmt.Errorf("gather the samples' numbers: %w", err)
	}
	return all, nil
}

func zeros(shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]float32, tensor.Shape(shape).TotalSize())))
}
