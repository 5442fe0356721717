package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/sslctl/sslctl/pkg/task"
	"github.com/sslctl/sslctl/pkg/transform"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/shard"
	"gorgonia.org/tensor"
)

// initialize runs the pass over the data with which the state of some tasks begins. What one rank has met in it, all take note of: else it
// would depend on the number of workers whether there are too many corrupt samples.
func (t *trainer) initialize(ctx context.Context) error {
	initial, ok := t.task.(task.Initializer)
	if !ok {
		return nil
	}
	p := &pass{session: t.session, source: t.source}
	err := initial.Initialize(ctx, p.run)
	own := control{Corrupt: p.corrupt}
	if err != nil {
		own.Error = err.Error()
	}
	all, exchangeErr := exchange(ctx, t.ring.group, own)
	switch {
	case err != nil:
		return err
	case exchangeErr != nil:
		return fmt.Errorf("compare what the ranks have met in the first pass: %w", exchangeErr)
	}
	for rank, c := range all {
		if c.Error != "" {
			return errors.New(t.session.on(rank) + c.Error)
		}
		t.noteCorrupt(c.Corrupt)
	}
	if err := t.checkCorrupt(); err != nil {
		return err
	}
	t.countReplaced(p.corrupt, p.corrupt)
	return nil
}

// pass makes one view of samples in the order of the data set. What it cannot decode it replaces.
type pass struct {
	session *session
	source  *source
	corrupt []string
	images  []transform.Image // of the batch in the making
	ids     []uint64
}

// run is a task.Pass. The draws are keyed by the sample, so they depend neither on the cuts nor on who makes the views.
func (p *pass) run(ctx context.Context, cuts []uint64, use func(int, *tensor.Dense) error) error {
	batch, first, end := 0, cuts[0], cuts[len(cuts)-1]
	p.session.report.phase(sslctlv1.Phase_PHASE_READY, "filling the bank")
	err := shard.ScanRange(ctx, p.source.data, first, end, func(sample shard.Sample) error {
		if err := p.add(ctx, sample); err != nil {
			return err
		}
		if next := sample.ID + 1; next == cuts[batch+1] {
			if err := p.flush(batch, use); err != nil {
				return err
			}
			batch++
			p.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) {
				m.PhaseDetail = fmt.Sprintf("filling the bank: %d of %d samples", next-first, end-first)
			})
		}
		return nil
	})
	if err != nil {
		return inField("spec.dataset", err)
	}
	return nil
}

// add decodes a sample, or one in its place.
func (p *pass) add(ctx context.Context, sample shard.Sample) error {
	id := sample.ID
	image, _, err := p.session.decode(p.source, sample, &p.corrupt, func(attempt uint64) (shard.Sample, error) {
		n := p.source.data.Len()
		if attempt == n {
			return shard.Sample{}, fmt.Errorf("%s: %w", p.source.data.Describe(id), shard.ErrExhausted)
		}
		return p.source.data.Read(ctx, p.session.key.For("pass.replacement").At(id).Permute(attempt, n))
	})
	if errors.Is(err, errTooCorrupt) {
		return tooCorrupt(p.corrupt, p.session.job.Spec.Dataset.MaxCorrupt)
	}
	if err != nil {
		return err
	}
	p.images, p.ids = append(p.images, image), append(p.ids, id)
	return nil
}

// flush makes the views of the samples added since the last flush.
func (p *pass) flush(batch int, use func(int, *tensor.Dense) error) error {
	views := p.source.batcher.New(len(p.images))
	if err := p.source.batcher.View(views, p.images, p.ids, 0, p.session.key.For("pass")); err != nil {
		return err
	}
	p.images, p.ids = p.images[:0], p.ids[:0]
	return use(batch, views)
}
