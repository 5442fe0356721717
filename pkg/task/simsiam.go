package task

import (
	"context"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

// simsiam guesses at what the encoder itself makes of the other view, which gets no gradient (Chen and He, "Exploring simple siamese
// representation learning", CVPR 2021):
//
//	L = −1/(2B)·Σ (p₁·z₂ + p₂·z₁) with unit p and z
//
// The views of a virtual rank go through the encoder as one batch, and so share its batch-norm statistics.
type simsiam struct {
	*guesses
	views   []stack
	targets [][]float32 // of each owned virtual rank: unit rows (2n, d) of what its predictor saw
	norms   [][]float32
}

func newSimSiam(c Config, e Environment) (Task, error) {
	shared, err := newGuesses(c, e)
	if err != nil {
		return nil, err
	}
	t := &simsiam{guesses: shared, views: make([]stack, e.owned())}
	for range e.owned() {
		t.targets = append(t.targets, make([]float32, shared.query.rows*shared.query.width))
		t.norms = append(t.norms, make([]float32, shared.query.rows))
	}
	return t, nil
}

func (t *simsiam) State() []Var              { return t.query.state() }
func (t *simsiam) Trained() []ParameterGroup { return []ParameterGroup{t.query.group()} }
func (t *simsiam) Restored() error           { return nil }
func (t *simsiam) Snapshot() Encoder         { return t.query.snapshot() }
func (t *simsiam) BankBytes() uint64         { return 0 }

func (t *simsiam) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) {
		t.query.forward(step, i, t.views[i].of(own[i]))
		projected := t.query.runs[i].model.Projected().Float32s()
		objective.Normalize(t.targets[i], projected, t.norms[i], t.query.rows, t.query.width)
		t.compare(i, t.targets[i], 0.5/float32(t.env.GlobalBatch))
	})
	cosine, spread, err := t.measure(ctx, g, step)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBackward)
	simd.Parallel(len(own), t.query.backward)
	statistics, err := sumStatistics(ctx, g, t.query.branch)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.query.name); err != nil {
		return nil, err
	}
	observe(statistics, t.env.VirtualRanks, t.query.branch)
	return Metrics{"loss": -cosine, "positiveSimilarity": cosine, "targetSpread": spread}, nil
}
