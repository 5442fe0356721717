package allreduce

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// link is this rank's place in the ring: a reliable, ordered stream of frames to the right neighbour and one from the left, both within
// a credit window, and the liveness of both neighbours. One collective at a time calls send and next; goroutines serve it: read
// (linkread.go), write for each neighbour (linkwrite.go) and watch (linkwatch.go).
type link struct {
	config      Config
	transport   Transport
	lanes       *LaneTransport // the transport, if it is one: then frames pass in place
	pool        *pool
	job         uint64
	left, right *peer // the same one in a ring of two

	ctx    context.Context // ends the goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Each signal has room for one: a waiter checks the state again after it.
	arrived, space, quiet chan struct{}
	over                  chan struct{} // closed by fail

	mu    sync.Mutex
	err   error
	stats Stats

	// To the right: queue holds the frames that are not acknowledged, in order; next is the first of them to write (again).
	queue    []*frame
	next     int
	seq      uint64 // of the newest frame
	credited uint64 // of the newest frame that the right neighbour reported to have taken
	slots    uint64 // the window in frames
	kept     int    // bytes in the queue
	writing  *frame // in the transport's hands: its buffer may not be used again yet
	held     bool   // the transport refused a frame; watch tries again
	stall    time.Duration
	patience time.Duration // how long a stall is borne before everything unacknowledged is written again

	// From the left.
	inbox    []*frame
	received uint64 // seq of the last frame in order
	taken    uint64 // seq of the last frame that a collective has taken
	waiting  int    // bytes in the inbox
	reported uint64 // value of taken in the last acknowledgement
	acked    uint64 // value of received in the last acknowledgement
	nacked   uint64 // received+1 when a resend was last asked for
	ackDue   bool
	nackDue  bool

	control []control // small frames to write before data
	busy    int       // how many of them are in the transport's hands
	started bool      // the goroutines run
	watched bool      // both neighbours have greeted: their silence counts
}

// peer is a neighbour.
type peer struct {
	rank     int
	wake     chan struct{} // there is something to write to it
	hello    bool          // it has greeted
	heardUs  bool          // it has heard our greeting
	heard    bool          // since the last tick
	gone     bool          // it said goodbye
	heardBye bool          // it has heard ours
	silent   time.Duration // while we were connected, since it was heard or we re-connected
	total    time.Duration // since it was heard
}

// control is a small frame that is not numbered: it is repeated or can be missed.
type control struct {
	kind    kind
	to      int
	flags   uint16
	segment uint16
	offset  uint64
	total   uint64
}

func newLink(config Config, transport Transport) *link {
	l := &link{
		config: config, transport: transport, job: config.job(),
		arrived: make(chan struct{}, 1), space: make(chan struct{}, 1), quiet: make(chan struct{}, 1), over: make(chan struct{}),
	}
	l.left = &peer{rank: (config.Rank + config.World - 1) % config.World, wake: make(chan struct{}, 1)}
	l.right = l.left
	if config.World > 2 {
		l.right = &peer{rank: (config.Rank + 1) % config.World, wake: make(chan struct{}, 1)}
	}
	if l.lanes, _ = transport.(*LaneTransport); l.lanes != nil {
		l.lanes.to, l.pool = l, l.lanes.pool
	} else {
		l.pool = newPool(config)
	}
	l.patience = l.minPatience()
	l.slots = uint64(config.WindowBytes / (config.FrameBytes + headerBytes))
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// peers lists the neighbours, once each.
func (l *link) peers() []*peer {
	if l.left == l.right {
		return []*peer{l.left}
	}
	return []*peer{l.left, l.right}
}

// start runs the goroutines that close ends; false if close came before.
func (l *link) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	l.started = true
	if l.lanes == nil {
		l.wg.Go(l.read)
	}
	for _, p := range l.peers() {
		l.wg.Go(func() { l.write(p) })
	}
	l.wg.Go(l.watch)
	return true
}

// frame returns a frame with room for n payload bytes.
func (l *link) frame(n int) *frame { return &frame{buffer: l.pool.get(headerBytes + n)} }

// recycle takes back a frame's buffer. Callers hold mu and use the frame no more.
func (l *link) recycle(f *frame) {
	if f != l.writing {
		l.pool.put(f.buffer)
	}
	f.buffer = buffer{}
}

// release is recycle for a collective that has taken a frame and does not pass it on.
func (l *link) release(f *frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recycle(f)
}

// room is the number of frames that fit in the window. It counts frames, however small: a frame passed on then frees one place and takes
// one, which the argument in Group.run needs. Callers hold mu.
func (l *link) room() int { return int(l.slots - (l.seq - l.credited)) }

// send gives a frame to the right neighbour's stream; it waits for room in the window. The frame is the link's from then on.
func (l *link) send(ctx context.Context, f *frame) error {
	var wait waiting
	for {
		l.mu.Lock()
		if l.err != nil {
			l.mu.Unlock()
			return l.err // set once: it may be read without the lock
		}
		if l.right.gone {
			l.lost(&ErrPeerLost{Rank: l.right.rank, By: l.config.Rank, Left: true})
			l.mu.Unlock()
			return l.err
		}
		if l.room() > 0 {
			l.enqueue(f)
			wait.end(l)
			l.mu.Unlock()
			signal(l.right.wake)
			return nil
		}
		l.reportTaken()
		wait.begin(l)
		l.mu.Unlock()
		select {
		case <-l.space:
		case <-l.over:
		case <-ctx.Done():
			return fmt.Errorf("awaited room in the window to rank %d for %s: %w", l.right.rank, wait.since(), context.Cause(ctx))
		}
	}
}

// take returns the next frame from the left neighbour, or nil when none is there and this rank may start a frame of its own: when start is
// ready, and the window has room for two, so that room for one is left.
func (l *link) take(ctx context.Context, start *starter) (*frame, error) {
	var wait waiting
	for {
		complete, ready := start.complete(), start.ready()
		l.mu.Lock()
		if len(l.inbox) > 0 {
			f := l.inbox[0]
			l.inbox[0] = nil
			l.inbox = l.inbox[1:]
			l.waiting -= f.buffer.n
			l.taken++
			if l.taken-l.reported >= (l.slots+7)/8 {
				l.reportTaken()
			}
			wait.end(l)
			l.mu.Unlock()
			return f, nil
		}
		if l.err != nil {
			l.mu.Unlock()
			return nil, l.err
		}
		if l.left.gone {
			l.lost(&ErrPeerLost{Rank: l.left.rank, By: l.config.Rank, Left: true})
			l.mu.Unlock()
			return nil, l.err
		}
		if ready && l.room() > 1 {
			wait.end(l)
			l.mu.Unlock()
			return nil, nil
		}
		if ready {
			l.reportTaken()
		}
		if complete { // else the neighbours may be waiting for this rank
			wait.begin(l)
		}
		l.mu.Unlock()
		var space chan struct{}
		if ready {
			space = l.space
		}
		select {
		case <-l.arrived:
		case <-space:
		case <-start.moved():
		case <-l.over:
		case <-ctx.Done():
			if !complete {
				return nil, fmt.Errorf("awaited this rank's own part: %w", context.Cause(ctx))
			}
			return nil, fmt.Errorf("awaited a frame from rank %d for %s: %w", l.left.rank, wait.since(), context.Cause(ctx))
		}
	}
}

// enqueue numbers a frame and hands it to write. Callers hold mu.
func (l *link) enqueue(f *frame) {
	l.seq++
	f.header.seq = l.seq
	f.writes = 0
	if len(l.queue) == 0 {
		l.stall = 0
	}
	l.queue = append(l.queue, f)
	l.kept += f.buffer.n
	l.stats.FramesSent++
	l.stats.BytesSent += uint64(f.buffer.n)
	l.stats.MaxKept = max(l.stats.MaxKept, l.kept)
}

// reportTaken has write tell the left neighbour what was taken, if it does not know. It is called before this rank waits for room: were
// all ranks to wait with reports held back, none would go on. Callers hold mu.
func (l *link) reportTaken() {
	if l.taken != l.reported {
		l.ackDue = true
		signal(l.left.wake)
	}
}

// fail ends all waits with err; the first one stays. Callers hold mu.
func (l *link) fail(err error) {
	if l.err == nil {
		l.err = err
		close(l.over)
		signal(l.quiet)
	}
}

// snapshot returns the counters.
func (l *link) snapshot() Stats {
	_, reconnects := l.transport.Status()
	straight := 0
	if l.lanes != nil {
		straight = l.lanes.straight()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Reconnects, s.Straight = reconnects, straight
	return s
}

// signal wakes a waiter, or makes the next wait return at once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waiting measures one wait for the counters and for error messages. Its methods but since are called with mu held.
type waiting struct{ start time.Time }

func (w *waiting) begin(l *link) {
	if w.start.IsZero() {
		w.start = time.Now()
		l.stats.Waits++
	}
}

func (w *waiting) end(l *link) {
	if !w.start.IsZero() {
		l.stats.WaitTime += time.Since(w.start)
	}
}

func (w *waiting) since() time.Duration { return time.Since(w.start).Round(time.Millisecond) }
