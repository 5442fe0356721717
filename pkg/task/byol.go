package task

import (
	"context"

	"github.com/sslctl/sslctl/pkg/simd"
)

// byol guesses at the moving average's embedding of the other view (Grill et al., "Bootstrap your own latent", NeurIPS 2020):
//
//	L = 1/B·Σ (‖p₁ − z₂‖² + ‖p₂ − z₁‖²) with unit p and z
//
// The views of a virtual rank go through an encoder as one batch, and so share its batch-norm statistics.
type byol struct {
	*guesses
	key      *branch   // encoder and projector alone
	follower *follower // lets key follow query
	views    []stack
}

func newBYOL(c Config, e Environment) (Task, error) {
	shared, err := newGuesses(c, e)
	if err != nil {
		return nil, err
	}
	key := newBranch(momentumName, e.Model.CloneWithoutPredictor(), e, 2*e.micro())
	follower, err := newFollower(c, e, key, shared.query)
	if err != nil {
		return nil, err
	}
	return &byol{guesses: shared, key: key, follower: follower, views: make([]stack, e.owned())}, nil
}

func (t *byol) State() []Var              { return append(t.query.state(), t.key.state()...) }
func (t *byol) Trained() []ParameterGroup { return []ParameterGroup{t.query.group()} }
func (t *byol) Restored() error           { return nil }
func (t *byol) Snapshot() Encoder         { return t.query.snapshot() }
func (t *byol) BankBytes() uint64         { return 0 }

func (t *byol) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) {
		images := t.views[i].of(own[i])
		t.query.forward(step, i, images)
		t.key.forward(step, i, images)
		t.compare(i, t.key.unit(i), 2/float32(t.env.GlobalBatch))
	})
	cosine, spread, err := t.measure(ctx, g, step)
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
	return Metrics{"loss": 4 - 4*cosine, "positiveSimilarity": cosine, "targetSpread": spread}, nil
}
