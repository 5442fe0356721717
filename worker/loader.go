package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sslctl/sslctl/pkg/task"
	"github.com/sslctl/sslctl/pkg/transform"
	"github.com/sslctl/sslctl/shard"
	"gorgonia.org/tensor"
)

// prefetch is how many micro-batches of a virtual rank are ready or in use at most: one in the step, one behind it, one in the making.
const prefetch = 3

// views are the fields that a sample may become, in the order of their keys.
var views = []string{"view1", "view2"}

// wanted is what a task reads of samples; the rest is not made.
type wanted struct {
	views  []string
	labels bool
}

func wantedBy(t task.Task) wanted {
	w := wanted{views: views}
	if r, ok := t.(task.ViewReader); ok {
		w.views = r.Views()
	}
	if r, ok := t.(task.LabelReader); ok {
		w.labels = r.ReadsLabels()
	}
	return w
}

// loaded is this rank's part of one global batch.
type loaded struct {
	own     []task.Batch // of the owned virtual ranks, in order
	corrupt []string     // samples that were replaced in it, each once
}

// loader makes the micro-batches of the owned virtual ranks ahead of the step, one goroutine for each virtual rank.
type loader struct {
	streams []*stream
	cancel  context.CancelFunc
	wait    sync.WaitGroup
}

// stream is one virtual rank's sequence of micro-batches.
type stream struct {
	virtualRank int
	ready       chan microBatch
	free        chan task.Batch
}

type microBatch struct {
	batch   task.Batch
	corrupt []string
	err     error // the stream ends with it
}

func newLoader(ctx context.Context, s *session, src *source, g task.Group, wanted wanted, step uint64) *loader {
	ctx, cancel := context.WithCancel(ctx)
	l := &loader{cancel: cancel}
	lo, hi := g.Owned()
	size := s.job.Spec.Training.MicroBatch()
	for v := lo; v < hi; v++ {
		st := &stream{virtualRank: v, ready: make(chan microBatch, prefetch), free: make(chan task.Batch, prefetch)}
		for range prefetch {
			b := task.Batch{VirtualRank: v, Positions: make([]uint64, size), Samples: make([]uint64, size), Fields: map[string]*tensor.Dense{}}
			if wanted.labels {
				b.Labels = make([]uint64, size)
			}
			for _, view := range wanted.views {
				b.Fields[view] = src.batcher.New(size)
			}
			st.free <- b
		}
		l.streams = append(l.streams, st)
		l.wait.Go(func() {
			if err := st.guarded(ctx, s, src, step); err != nil {
				select {
				case st.ready <- microBatch{err: err}:
				case <-ctx.Done():
				}
			}
		})
	}
	return l
}

func (l *loader) close() {
	l.cancel()
	l.wait.Wait()
}

// next returns the micro-batches of the next step. The error of the lowest virtual rank wins, so that it is always the same one.
func (l *loader) next(ctx context.Context) (*loaded, error) {
	out := &loaded{}
	for _, st := range l.streams {
		select {
		case m := <-st.ready:
			if m.err != nil {
				return nil, m.err
			}
			out.own = append(out.own, m.batch)
			out.corrupt = withNew(out.corrupt, m.corrupt)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return out, nil
}

// withNew appends what known does not have yet.
func withNew(known, names []string) []string {
	for _, name := range names {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	return known
}

// release gives the buffers of a batch back to their streams.
func (l *loader) release(b *loaded) {
	for i, st := range l.streams {
		st.free <- b.own[i] // never blocks: the channel holds all of the stream's buffers
	}
}

// guarded is run, with a panic turned into an error.
func (st *stream) guarded(ctx context.Context, s *session, src *source, step uint64) (err error) {
	defer s.recovered(&err)
	return st.run(ctx, s, src, step)
}

// run fills one micro-batch after the other until the job's last step, the end of ctx or an error.
func (st *stream) run(ctx context.Context, s *session, src *source, step uint64) error {
	reader, err := src.reader(ctx, st.virtualRank, step)
	if err != nil {
		return err
	}
	defer reader.Close()
	images := make([]transform.Image, s.job.Spec.Training.MicroBatch())
	for ; step < src.totalSteps; step++ {
		var b task.Batch
		select {
		case b = <-st.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		corrupt, err := st.fill(ctx, s, src, reader, b, images)
		if err != nil {
			return err
		}
		select {
		case st.ready <- microBatch{batch: b, corrupt: corrupt}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// fill reads the samples of one micro-batch and makes their views.
func (st *stream) fill(ctx context.Context, s *session, src *source, reader *shard.Reader, b task.Batch, images []transform.Image) (corrupt []string, err error) {
	for i := range images {
		position, sample, err := reader.Next(ctx)
		if err != nil {
			return nil, err
		}
		b.Positions[i] = position
		images[i], sample, err = s.decode(src, sample, &corrupt, func(attempt uint64) (shard.Sample, error) {
			return reader.Replacement(ctx, position, attempt)
		})
		if errors.Is(err, errTooCorrupt) {
			return corrupt, nil // the ranks agree on the failure before the batch is used
		}
		if err != nil {
			return nil, err
		}
		b.Samples[i] = sample.ID
		if b.Labels != nil {
			if b.Labels[i], err = labelOf(src, sample); err != nil {
				return nil, err
			}
		}
	}
	for view, name := range views {
		if b.Fields[name] == nil {
			continue
		}
		if err := src.batcher.View(b.Fields[name], images, b.Positions, uint64(view), src.key); err != nil {
			return nil, err
		}
	}
	return corrupt, nil
}

// errTooCorrupt says that there are more corrupt samples than the job allows.
var errTooCorrupt = errors.New("too many samples cannot be decoded")

// labelOf is the class of a sample, for a task that cannot do without.
func labelOf(src *source, sample shard.Sample) (uint64, error) {
	label, err := shard.Label(sample)
	if err != nil {
		return 0, fmt.Errorf("%s: %w; spec.task.loss supcon needs a label of every sample: add them, or name another loss", src.data.Describe(sample.ID), err)
	}
	return uint64(label), nil
}

// decode returns the image of a sample, or of the first of its replacements that can be decoded, and the sample that it is of. What
// cannot be decoded is added to corrupt, once; when that exceeds what the job allows, the error is errTooCorrupt.
func (s *session) decode(src *source, sample shard.Sample, corrupt *[]string, replacement func(attempt uint64) (shard.Sample, error)) (transform.Image, shard.Sample, error) {
	for attempt := uint64(0); ; attempt++ {
		image, err := transform.Decode(sample.Members, s.job.Spec.Model.Image.Channels)
		if err == nil {
			return image, sample, nil
		}
		if !errors.Is(err, transform.ErrCorrupt) {
			return transform.Image{}, sample, fmt.Errorf("sample %s: %w", src.data.Describe(sample.ID), err)
		}
		if name := fmt.Sprintf("%s: %v", src.data.Describe(sample.ID), err); !slices.Contains(*corrupt, name) {
			*corrupt = append(*corrupt, name)
		}
		if len(*corrupt) > s.job.Spec.Dataset.MaxCorrupt {
			return transform.Image{}, sample, errTooCorrupt
		}
		if sample, err = replacement(attempt); err != nil {
			return transform.Image{}, sample, fmt.Errorf("replace corrupt sample: %w", err)
		}
	}
}
