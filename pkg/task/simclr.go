package task

import (
	"context"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

// simclr contrasts the two views of every sample with all other views of the global batch (Chen et al., "A simple framework for contrastive
// learning of visual representations", ICML 2020). The views of a virtual rank go through the encoder as one batch, and so share its
// batch-norm statistics. Embeddings travel, then one number for each; every gradient is local.
type simclr struct {
	config Config
	env    Environment

	encoder *trainedBranch
	views   []stack
	lse     [][]float32      // (2n) of each owned virtual rank's rows
	loss    objective.NTXent // over the gathered rows of the step in flight
}

func newSimCLR(c Config, e Environment) (Task, error) {
	if err := checkInBatch(c, e); err != nil {
		return nil, err
	}
	t := &simclr{config: c, env: e, encoder: newTrainedBranch(encoderName, e.Model, e, 2*e.micro()), views: make([]stack, e.owned())}
	for range e.owned() {
		t.lse = append(t.lse, make([]float32, 2*e.micro()))
	}
	return t, nil
}

func (t *simclr) State() []Var              { return t.encoder.state() }
func (t *simclr) Trained() []ParameterGroup { return []ParameterGroup{t.encoder.group()} }
func (t *simclr) Restored() error           { return nil }
func (t *simclr) Snapshot() Encoder         { return t.encoder.snapshot() }
func (t *simclr) BankBytes() uint64         { return 0 }

func (t *simclr) Step(ctx context.Context, g Group, step uint64, own []Batch, update func(context.Context, string) error) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) { t.encoder.forward(i, t.views[i].of(own[i])) })
	lse, err := t.contrast(ctx, g)
	if err != nil {
		return nil, err
	}
	loss, positive, finite := t.loss.Loss(lse)
	if !finite {
		return nil, lossNotFinite(step)
	}
	t.env.enter(PhaseBackward)
	t.backward(lse)
	statistics, err := sumStatistics(ctx, g, t.encoder.branch)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.encoder.name); err != nil {
		return nil, err
	}
	observe(statistics, t.env.VirtualRanks, t.encoder.branch)
	return Metrics{"loss": loss, "chanceLoss": keyed.Log(float64(2*t.env.GlobalBatch - 1)), "positiveSimilarity": positive}, nil
}

// contrast gathers the rows of all virtual ranks, first views before second ones, and lse of each.
func (t *simclr) contrast(ctx context.Context, g Group) (lse []float32, err error) {
	d := t.encoder.width
	z, err := gather(ctx, g, t.env, d, byView(t.encoder.unit)...)
	if err != nil {
		return nil, err
	}
	t.loss = objective.NTXent{Z: append(z[0], z[1]...), D: d, Tau: float32(t.config.Temperature)}
	simd.Parallel(t.env.owned(), func(i int) {
		n := t.env.micro()
		first, second := t.rows(i)
		t.loss.LogSumExp(t.lse[i][:n], first)
		t.loss.LogSumExp(t.lse[i][n:], second)
	})
	all, err := gather(ctx, g, t.env, 1, byView(func(i int) []float32 { return t.lse[i] })...)
	if err != nil {
		return nil, err
	}
	return append(all[0], all[1]...), nil
}

// rows are where the two views of the i-th owned virtual rank begin among all rows.
func (t *simclr) rows(i int) (first, second int) {
	first = (t.env.Lo + i) * t.env.micro()
	return first, t.env.GlobalBatch + first
}

func (t *simclr) backward(lse []float32) {
	simd.Parallel(t.env.owned(), func(i int) {
		dz := t.encoder.gradient(i)
		first, second := t.rows(i)
		t.loss.Gradient(dz[:len(dz)/2], lse, first)
		t.loss.Gradient(dz[len(dz)/2:], lse, second)
		t.encoder.backward(i)
	})
}
