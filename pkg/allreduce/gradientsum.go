package allreduce

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"gorgonia.org/tensor"
)

// GradientSum is a sum of gradients that are still being computed. It holds the place of a collective from BeginSumGradients on until Wait
// or Abandon has returned; one of them must be called.
type GradientSum struct {
	progress *progress
	cancel   context.CancelCauseFunc
	finish   func() // in a ring of one, does the sum; returns when it is done
	err      error  // once it is
}

// errAbandoned ends a sum whose gradients will not be finished.
var errAbandoned = errors.New("the gradients will not be finished")

// BeginSumGradients is a SumGradients that begins before the gradients are complete: what Finished reports travels while the rest is computed. All
// ranks must begin it at the same place among their collectives, whenever that is. The bits of the result are those of SumGradients. own
// and sum are the GradientSum's until it has ended, but for the elements of own that are not finished.
func (g *Group) BeginSumGradients(ctx context.Context, sum *tensor.Dense, own []*tensor.Dense) (*GradientSum, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	if err := g.enter(ctx, "Sum"); err != nil {
		cancel(err)
		return nil, err
	}
	s := &GradientSum{progress: newProgress(own), cancel: cancel}
	run := func() { s.err = g.leave("Sum", g.sum(ctx, sum, own, g.config.Wire, s.progress)) }
	if g.link == nil {
		s.finish = sync.OnceFunc(run)
		return s, nil
	}
	var running sync.WaitGroup
	running.Go(run)
	s.finish = running.Wait
	return s, nil
}

// Finished tells that the i-th tensor has its final values from element lo on. Calls for different i may come from different goroutines;
// for one i, lo goes down. It does not wait.
func (s *GradientSum) Finished(i, lo int) { s.progress.finished(i, lo) }

// Wait returns when the sum is done, as SumGradients does. All gradients are finished by then.
func (s *GradientSum) Wait() error {
	s.progress.finishAll()
	s.finish()
	s.cancel(nil)
	return s.err
}

// Abandon ends a sum whose gradients will never be complete, and with it the Group's use; after Wait it does nothing. It returns when nothing
// of the sum runs any more.
func (s *GradientSum) Abandon() {
	s.cancel(errAbandoned)
	s.finish()
}

// progress tells how much of some summands of one size has its final values: each gets them from its end to its start.
type progress struct {
	low   atomic.Int64  // all summands are final from here on
	moved chan struct{} // has an element when low has been lowered

	mu   sync.Mutex
	lows []int // of each
}

// newProgress begins with nothing finished.
func newProgress(own []*tensor.Dense) *progress {
	p := &progress{moved: make(chan struct{}, 1), lows: make([]int, len(own))}
	for i, t := range own {
		if t != nil { // else the sum will say so
			p.lows[i] = t.DataSize()
		}
	}
	p.low.Store(int64(slices.Max(append(p.lows, 0))))
	return p
}

func (p *progress) finished(i, lo int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lows[i] = min(p.lows[i], lo)
	if low := int64(slices.Max(p.lows)); low < p.low.Load() {
		p.low.Store(low)
		signal(p.moved)
	}
}

func (p *progress) finishAll() {
	p.low.Store(0)
	signal(p.moved)
}

// from says whether all summands are final from element lo on.
func (p *progress) from(lo int) bool { return int(p.low.Load()) <= lo }
