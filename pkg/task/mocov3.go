package task

import (
	"context"
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

// mocov3 is MoCo v3 (Chen, Xie and He, "An empirical study of training self-supervised vision transformers", ICCV 2021, Algorithm 1): the
// predictor's guess from each view is contrasted with the moving average's keys of the other view, over the global batch; there is no queue.
// The views of a virtual rank go through an encoder as one batch, and so share its batch-norm statistics. Keys travel, and the
// losses; every gradient is local.
type mocov3 struct {
	config Config
	env    Environment

	query    *trainedBranch
	key      *branch   // encoder and projector alone
	follower *follower // lets key follow query
	views    []stack
	losses   [][]float32 // of each owned virtual rank: (2n) losses, then (2n) cosines of the positives
}

func newMoCoV3(c Config, e Environment) (Task, error) {
	if err := checkInBatch(c, e); err != nil {
		return nil, err
	}
	n := 2 * e.micro()
	t := &mocov3{
		config: c, env: e, views: make([]stack, e.owned()),
		key: newBranch(momentumName, e.Model.CloneWithoutPredictor(), e, n), query: newTrainedBranch(encoderName, e.Model, e, n),
	}
	var err error
	if t.follower, err = newFollower(c, e, t.key, t.query); err != nil {
		return nil, err
	}
	for range e.owned() {
		t.losses = append(t.losses, make([]float32, 2*n))
	}
	return t, nil
}

func (t *mocov3) State() []Var              { return append(t.query.state(), t.key.state()...) }
func (t *mocov3) Trained() []ParameterGroup { return []ParameterGroup{t.query.group()} }
func (t *mocov3) Restored() error           { return nil }
func (t *mocov3) Snapshot() Encoder         { return t.query.snapshot() }
func (t *mocov3) BankBytes() uint64         { return 0 }

func (t *mocov3) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) {
		images := t.views[i].of(own[i])
		t.query.forward(step, i, images)
		t.key.forward(step, i, images)
	})
	keys, err := gather(ctx, g, t.env, t.key.width, byView(t.key.unit)...)
	if err != nil {
		return nil, err
	}
	t.contrast(keys[0], keys[1])
	metrics, err := t.measure(ctx, g, step)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBackward)
	simd.Parallel(len(own), t.query.backward)
	statistics, err := sumStatistics(ctx, g, t.query.branch, t.key)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.query.name); err != nil {
		return nil, err
	}
	observe(statistics, t.env.VirtualRanks, t.query.branch, t.key)
	t.follower.follow(step)
	return metrics, nil
}

// contrast runs the owned queries of each view against all keys of the other one: losses, and the gradient of
//
//	L = 2τ·(1/B)·Σ (L(q₁, k₂) + L(q₂, k₁))
func (t *mocov3) contrast(keys1, keys2 []float32) {
	n, d, tau := t.env.micro(), t.query.width, float32(t.config.Temperature)
	scale := 2 * tau / float32(t.env.GlobalBatch)
	simd.Parallel(t.env.owned(), func(i int) {
		lo := (t.env.Lo + i) * n
		q, dq, losses, cosines := t.query.unit(i), t.query.gradient(i), t.losses[i][:2*n], t.losses[i][2*n:]
		objective.InBatch(dq[:n*d], losses[:n], cosines[:n], q[:n*d], keys2, lo, d, tau, scale)
		objective.InBatch(dq[n*d:], losses[n:], cosines[n:], q[n*d:], keys1, lo, d, tau, scale)
	})
}

// measure gathers the losses and cosines of all virtual ranks.
func (t *mocov3) measure(ctx context.Context, g Group, step uint64) (Metrics, error) {
	all, err := gather(ctx, g, t.env, 1, byView(func(i int) []float32 { return t.losses[i] })...)
	if err != nil {
		return nil, err
	}
	loss, positive := 0.0, 0.0
	for i := range all[0] {
		loss += float64(all[0][i])
		positive += float64(all[1][i])
	}
	b := float64(t.env.GlobalBatch)
	scale := 2 * t.config.Temperature
	loss *= scale / b
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, lossNotFinite(step)
	}
	return Metrics{"loss": loss, "chanceLoss": 2 * scale * keyed.Log(b), "positiveSimilarity": positive / (2 * b)}, nil
}
