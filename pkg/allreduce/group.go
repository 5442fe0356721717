package allreduce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Group is this rank's end of the collectives of one generation; it implements task.Group. All ranks must call the same collectives in
// the same order with tensors of the same shapes, one at a time. A collective waits for the others as long as they are alive: ctx ends
// it, a lost neighbour does (ErrPeerLost), Close does; after that the Group is good for Close only. Close and Stats may be called at
// any time from any goroutine.
type Group struct {
	config Config
	link   *link // nil in a ring of one
	step   atomic.Uint64
	// narrowSums is how many sums of this step were rounded at random.
	narrowSums atomic.Uint64

	running    sync.Mutex // held by a collective
	joined     bool
	collective uint32 // number of the running one, from 1
	broken     error
	scratch    []byte
	exponents  []byte

	closing  sync.Once
	closed   atomic.Bool
	closeErr error
}

// NewGroup checks the configuration and makes a Group that must Join before its first collective. transport carries frames between the
// ranks of this generation only, and belongs to the Group from here on; it may be nil in a ring of one.
func NewGroup(config Config, transport Transport) (*Group, error) {
	config, err := config.filled()
	if err != nil {
		return nil, fmt.Errorf("allreduce: group of job %q: %w", config.JobUID, err)
	}
	g := &Group{config: config}
	if config.World == 1 {
		g.joined = true
		return g, nil
	}
	if transport == nil {
		return nil, fmt.Errorf("allreduce: group of job %q: a ring of %d needs a Transport", config.JobUID, config.World)
	}
	if most := transport.MaxFrame(); config.FrameBytes+headerBytes > most {
		return nil, fmt.Errorf("allreduce: group of job %q: FrameBytes %d and a header of %d bytes: %w (%d bytes at most); lower FrameBytes or raise the server's max_payload",
			config.JobUID, config.FrameBytes, headerBytes, ErrFrameTooLarge, most)
	}
	g.link = newLink(config, transport)
	return g, nil
}

// Join returns when all ranks of the generation are there and agree on the configuration. It waits as long as ctx allows.
func (g *Group) Join(ctx context.Context) error {
	if g.link == nil {
		return nil
	}
	if !g.running.TryLock() {
		return fmt.Errorf("allreduce: join: %w", ErrBusy)
	}
	err := g.broken
	switch {
	case g.closed.Load():
		err = ErrClosed
	case g.joined:
		err = errors.New("the group has joined before")
	case err == nil:
		err = g.link.greet(ctx)
		g.joined, g.broken = err == nil, err
		if err == nil && g.link.lanes != nil {
			g.link.lanes.settle(ctx, min(g.config.DetectWithin, dialWithin))
		}
	}
	g.running.Unlock()
	if err == nil {
		// The neighbours are there; once something has been around the ring, all are.
		_, err = g.Exchange(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("allreduce: rank %d of %d, job %q, generation %d: join: %w", g.config.Rank, g.config.World, g.config.JobUID, g.config.Generation, err)
	}
	return nil
}

// Size is V.
func (g *Group) Size() int { return g.config.VirtualRanks }

// Owned is the run [lo, hi) of virtual ranks that this rank owns.
func (g *Group) Owned() (lo, hi int) {
	return g.config.Starts[g.config.Rank], g.config.Starts[g.config.Rank+1]
}

// SetStep names the step that the next collectives belong to: frames carry it, and a neighbour in another step is an error.
func (g *Group) SetStep(step uint64) {
	g.step.Store(step)
	g.narrowSums.Store(0)
}

// Stats returns the counters so far.
func (g *Group) Stats() Stats {
	if g.link == nil {
		return Stats{}
	}
	return g.link.snapshot()
}

// Close ends this rank's part in the generation: a running collective returns ErrClosed, the neighbours learn that this rank has left,
// all goroutines end, the transport is closed. After an undisturbed run it first waits, at most 3·DetectWithin, until the neighbours have
// received all and have heard the goodbye.
func (g *Group) Close() error { return g.end(true) }

// Abort is Close without the waiting: for a generation that has ended, so that nobody needs what is still under way.
func (g *Group) Abort() error { return g.end(false) }

func (g *Group) end(linger bool) error {
	g.closing.Do(func() {
		g.closed.Store(true)
		if g.link == nil {
			return
		}
		if g.running.TryLock() {
			linger = linger && g.joined && g.broken == nil
			g.running.Unlock()
		} else {
			linger = false
		}
		g.closeErr = g.link.close(linger)
	})
	return g.closeErr
}

// collect runs one collective: body's streams see a number of their own.
func (g *Group) collect(ctx context.Context, name string, body func() error) error {
	if err := g.enter(ctx, name); err != nil {
		return err
	}
	return g.leave(name, body())
}

// enter begins a collective, which leave ends, or says why there can be none.
func (g *Group) enter(ctx context.Context, name string) error {
	if !g.running.TryLock() {
		return fmt.Errorf("allreduce: %s: %w", name, ErrBusy)
	}
	switch {
	case g.closed.Load():
		return g.leave(name, ErrClosed)
	case !g.joined:
		return g.leave(name, ErrNotJoined)
	case g.broken != nil:
		return g.leave(name, fmt.Errorf("%w: %w", ErrBroken, g.broken))
	case ctx.Err() != nil:
		return g.leave(name, context.Cause(ctx))
	}
	g.collective++
	return nil
}

// leave ends a collective and says where its error arose. An error of the ring breaks the group; an error that all ranks share does not.
func (g *Group) leave(name string, err error) error {
	defer g.running.Unlock()
	if err == nil {
		return nil
	}
	var shared *sharedError
	if g.link != nil && !errors.As(err, &shared) && g.broken == nil && g.joined {
		g.broken = err
	}
	return fmt.Errorf("allreduce: rank %d of %d, step %d: %s: %w", g.config.Rank, g.config.World, g.step.Load(), name, err)
}

// sharedError is one that every rank returns for the same collective, so that the group may go on.
type sharedError struct{ error }

func (e *sharedError) Unwrap() error { return e.error }

// buffer returns n bytes that the next call hands out again, 8-aligned.
func (g *Group) buffer(n int) []byte {
	if cap(g.scratch) < n {
		g.scratch = make([]byte, n)
	}
	return g.scratch[:n]
}

// agreedExponents returns room for n exponents that the next call hands out again.
func (g *Group) agreedExponents(n int) []byte {
	if cap(g.exponents) < n {
		g.exponents = make([]byte, n)
	}
	return g.exponents[:n]
}
