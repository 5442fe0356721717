package shard

import (
	"cmp"
	"context"
	"fmt"
	"sync"
)

// ReadOptions bound what a reader holds ahead. Zero fields take the defaults.
type ReadOptions struct {
	// End is the position at which the stream of a Reader ends; 0: never. Nothing behind it is fetched.
	End uint64
	// MemoryBytes is how many bytes of samples are held ahead, default 64 MiB. A larger shuffle window needs all of itself.
	MemoryBytes int64
	// Requests is how many ranges are asked for at once, default 2.
	Requests int
}

// windowsAhead is how many whole windows may wait behind the one being read.
const windowsAhead = 2

// stream fetches windows of samples ahead and hands the samples out one by one. One goroutine may call next.
type stream struct {
	data    *Dataset
	ctx     context.Context // of the fetching
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	windows chan *window
	memory  *memory

	current *window
	i       int // of the next sample in current
	err     error
}

// window is a set of samples that is fetched in the order of their places and handed out in the order of ids.
type window struct {
	number int
	ids    []uint64
	raw    [][]byte
	of     []*transfer // which transfer brings raw[i]
}

// newStream starts fetching. source yields the samples of one window after the other, in the order in which to hand them out, and
// nothing at the end.
func newStream(ctx context.Context, d *Dataset, o ReadOptions, source func() []uint64) *stream {
	s := &stream{data: d, windows: make(chan *window, windowsAhead-1), memory: newMemory(cmp.Or(o.MemoryBytes, 64<<20))}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.wg.Go(func() {
		defer close(s.windows)
		s.fetch(source, cmp.Or(o.Requests, 2))
	})
	return s
}

// fetch runs until the source or the context ends. It ends after all its transfers.
func (s *stream) fetch(source func() []uint64, requests int) {
	slots := make(chan struct{}, requests)
	var running sync.WaitGroup
	defer running.Wait()
	for number := 0; ; number++ {
		ids := source()
		if len(ids) == 0 {
			return
		}
		w := &window{number: number, ids: ids, raw: make([][]byte, len(ids))}
		var transfers []*transfer
		transfers, w.of = s.data.plan(ids, w.raw)
		select {
		case s.windows <- w:
		case <-s.ctx.Done():
			return
		}
		for _, t := range transfers {
			if s.memory.acquire(s.ctx, t.bytes, number) != nil {
				return
			}
			select {
			case slots <- struct{}{}:
			case <-s.ctx.Done():
				return
			}
			running.Go(func() {
				t.err = t.run(s.ctx, s.data.retry)
				close(t.done)
				<-slots
			})
		}
	}
}

// next returns the next sample, or ok = false at the end. After an error it returns the same one again.
func (s *stream) next(ctx context.Context) (sample Sample, ok bool, err error) {
	if s.err != nil {
		return Sample{}, false, s.err
	}
	for s.current == nil || s.i == len(s.current.ids) {
		select {
		case w, open := <-s.windows:
			if !open {
				// The source has ended, or the fetching was cancelled.
				return Sample{}, false, s.ended()
			}
			s.current, s.i = w, 0
			s.memory.enter(w.number)
		case <-ctx.Done():
			return Sample{}, false, fmt.Errorf("wait for samples of %s: %w", s.data.uri, ctx.Err())
		}
	}
	w, i := s.current, s.i
	select {
	case <-w.of[i].done:
	case <-s.ctx.Done():
		return Sample{}, false, s.ended()
	case <-ctx.Done():
		return Sample{}, false, fmt.Errorf("wait for sample %s: %w", s.data.Describe(w.ids[i]), ctx.Err())
	}
	if s.err = w.of[i].err; s.err != nil {
		return Sample{}, false, s.err
	}
	e := s.data.entry(w.ids[i])
	sample, s.err = parseSample(w.ids[i], e.Key, w.raw[i])
	w.raw[i] = nil
	s.i++
	s.memory.release(e.Size)
	return sample, s.err == nil, s.err
}

func (s *stream) ended() error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("read samples of %s: %w", s.data.uri, err)
	}
	return nil
}

// close ends the fetching and waits for it.
func (s *stream) close() {
	s.cancel()
	s.wg.Wait()
}
