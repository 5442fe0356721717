package task

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

// simclr contrasts the two views of every sample with all other views of the global batch (Chen et al., "A simple framework for contrastive
// learning of visual representations", ICML 2020). The views of a virtual rank go through the encoder as one batch, and so share its
// batch-norm statistics. Embeddings travel, then one or two numbers for each; every gradient is local.
type simclr struct {
	config Config
	env    Environment

	encoder *trainedBranch
	views   []stack
	form    batchForm    // of the loss
	learned learnedForm  // the same where it has parameters of its own, else nil
	labels  labelledForm // the same where it reads labels, else nil
	figures [][]float32  // of each owned virtual rank's rows, as many as the form has for each
}

func newSimCLR(c Config, e Environment) (Task, error) {
	if err := checkInBatch(c, e); err != nil {
		return nil, err
	}
	form, err := newBatchForm(c, e)
	if err != nil {
		return nil, err
	}
	t := &simclr{config: c, env: e, encoder: newTrainedBranch(encoderName, e.Model, e, 2*e.micro()), views: make([]stack, e.owned()), form: form}
	t.learned, _ = form.(learnedForm)
	t.labels, _ = form.(labelledForm)
	for range e.owned() {
		t.figures = append(t.figures, make([]float32, form.width()*2*e.micro()))
	}
	return t, nil
}

func (t *simclr) Restored() error   { return nil }
func (t *simclr) Snapshot() Encoder { return t.encoder.snapshot() }
func (t *simclr) BankBytes() uint64 { return 0 }
func (t *simclr) ReadsLabels() bool { return t.labels != nil }

func (t *simclr) State() []Var {
	vars := t.encoder.state()
	if t.learned != nil {
		vars = append(vars, t.learned.state()...)
	}
	return vars
}

func (t *simclr) Trained() []ParameterGroup {
	groups := []ParameterGroup{t.encoder.group()}
	if t.learned != nil {
		groups = append(groups, t.learned.group())
	}
	return groups
}

func (t *simclr) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) { t.encoder.forward(step, i, t.views[i].of(own[i])) })
	figures, err := t.contrast(ctx, g, own)
	if err != nil {
		return nil, err
	}
	loss, positive, finite := t.form.loss(figures)
	if !finite {
		return nil, lossNotFinite(step)
	}
	t.env.enter(PhaseBackward)
	t.backward()
	statistics, err := sumStatistics(ctx, g, t.encoder.branch)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.groups()...); err != nil {
		return nil, err
	}
	observe(statistics, t.env.VirtualRanks, t.encoder.branch)
	metrics := Metrics{"loss": loss, "positiveSimilarity": positive}
	t.form.chance(metrics, t.env.GlobalBatch)
	if t.learned != nil {
		t.learned.measure(metrics)
	}
	return metrics, nil
}

// contrast gathers the rows of all virtual ranks, first views before second ones, and the form's figures of each.
func (t *simclr) contrast(ctx context.Context, g Group, own []Batch) (figures []float32, err error) {
	d := t.encoder.width
	z, err := gather(ctx, g, t.env, d, byView(t.encoder.unit)...)
	if err != nil {
		return nil, err
	}
	t.form.over(objective.NTXent{Z: append(z[0], z[1]...), D: d, Tau: float32(t.config.Temperature)})
	if t.labels != nil {
		labels, err := gatherNumbers(ctx, g, own, func(b Batch) []uint64 { return b.Labels })
		if err != nil {
			return nil, fmt.Errorf("gather the samples' labels: %w", err)
		}
		t.labels.label(labels)
	}
	simd.Parallel(t.env.owned(), func(i int) {
		half := len(t.figures[i]) / 2
		first, second := t.rows(i)
		t.form.sums(t.figures[i][:half], first)
		t.form.sums(t.figures[i][half:], second)
	})
	all, err := gather(ctx, g, t.env, t.form.width(), byView(func(i int) []float32 { return t.figures[i] })...)
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

func (t *simclr) backward() {
	simd.Parallel(t.env.owned(), func(i int) {
		dz := t.encoder.gradient(i)
		first, second := t.rows(i)
		t.form.gradient(dz[:len(dz)/2], first)
		t.form.gradient(dz[len(dz)/2:], second)
		t.encoder.backward(i)
		if t.learned != nil {
			t.learned.slopes(i, t.figures[i])
		}
	})
}

// groups are the names of the parameter groups.
func (t *simclr) groups() (names []string) {
	for _, g := range t.Trained() {
		names = append(names, g.Name)
	}
	return names
}
