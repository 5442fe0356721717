package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Lane says how a rank's frames reach its neighbours without a detour over the NATS servers that all share: over a NATS server of its own,
// to which the neighbours subscribe, or over TCP alone. Exactly one of Server and Listener is set.
type Lane struct {
	// Server is a NATS server in this process. It lets in whoever knows Token.
	Server Server
	// Listener takes the neighbours' connections; it belongs to the transport from then on.
	Listener net.Listener
	// Token is a secret of this rank and generation. Neighbours learn it over the shared NATS.
	Token string
	// Host is the host that neighbours dial; the port is the server's or listener's.
	Host string
	// Changed, if set, is told of every neighbour whether frames to it go straight there from now on, and why not. It is not told of a neighbour that
	// hangs up, as each does that leaves the ring.
	Changed func(rank int, straight bool, why error)
}

// Server is a NATS server in this process.
type Server interface {
	// InProcess connects to it without a network.
	InProcess() (net.Conn, error)
	// Port is where it listens for others.
	Port() int
}

// LaneTransport sends frames to the neighbours over connections with them. What it cannot send so, it sends over the NATS that all ranks
// share, where neighbours also tell each other how to connect: a frame always has a way as long as that NATS is there. Either end of a
// connection may come, go and come again; the link makes good what is lost.
type LaneTransport struct {
	shared     *NATSTransport
	lane       Lane
	me         party
	neighbours []int
	outlet     outlet
	most       int // bytes in a frame

	ctx    context.Context // ends the goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup
	to     sink // where received frames go
	inbox  *inbox
	pool   *pool

	mu      sync.Mutex
	ways    map[int]*way // by neighbour
	changed chan struct{}
	closed  bool
}

// party names a rank of one generation of one job.
type party struct {
	Job        string `json:"job"`
	Generation uint64 `json:"generation"`
	Rank       int    `json:"rank"`
}

// way is the state of the connections with a neighbour.
type way struct {
	in, out  bool  // frames from and to it pass
	inTried  bool  // in has been true, or why says why not
	outTried bool  // the neighbour has said that out works, or that it does not
	why      error // of the last failure; nil while frames to it pass, and where the neighbour has hung up
	told     told
}

// told is what was last told of a way.
type told int

const (
	nothingTold told = iota
	toldStraight
	toldShared
)

// hungUp says whether a connection that was there ended because the neighbour closed it: its part in the ring is over, or it comes again.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errNotAttached) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// outlet is this rank's end that neighbours connect to.
type outlet interface {
	// attached tells the outlet that a neighbour listens, or does no longer.
	attached(rank int, on bool)
	// send hands a frame to a neighbour; errNotAttached if it does not listen.
	send(to int, b buffer) error
	// port is where neighbours connect.
	port() int
	close() error
}

// inlet is a connection to a neighbour's outlet.
type inlet interface {
	// receive waits for the next frame; get makes its buffer, or says that it is too large.
	receive(get func(n int) (buffer, error)) (buffer, error)
	Close() error
}

// sink takes what a transport receives. Its methods may be called by several goroutines at once.
type sink interface {
	accept(b buffer)
	// ended says that a neighbour's process is no more.
	ended(rank int)
	// failed says that nothing will be received any more.
	failed(err error)
}

var (
	errNotAttached = errors.New("the neighbour has not connected")
	errNotAsked    = errors.New("the neighbour does not answer")
)

const (
	// firstPause is the time between two attempts to connect to a neighbour; it doubles with each.
	firstPause = 20 * time.Millisecond
	// lasting is how long a connection must have held to begin again with firstPause: connections that end at once must not be made at once.
	lasting = 2 * time.Second
)

// dialWithin bounds the dialling of a neighbour and the handshake.
const dialWithin = 2 * time.Second

// writeWithin is how long a write to a neighbour may block: frozen or slow ones are the link's business, which ends the transport.
const writeWithin = 30 * time.Second

// NewLaneTransport makes the transport of the rank that config places in its ring, over a lane of its own and the shared transport,
// which belongs to it from here on.
func NewLaneTransport(config Config, shared *NATSTransport, lane Lane) (*LaneTransport, error) {
	config, err := config.filled()
	if err != nil {
		return nil, fmt.Errorf("allreduce: lane of job %q: %w", config.JobUID, err)
	}
	t := &LaneTransport{
		shared: shared, lane: lane, me: party{config.JobUID, config.Generation, config.Rank}, ways: map[int]*way{},
		most: shared.MaxFrame(), changed: make(chan struct{}, 1), inbox: newInbox(), pool: newPool(config),
	}
	t.to = t.inbox
	for _, step := range []int{config.World - 1, 1} {
		if n := (config.Rank + step) % config.World; n != config.Rank && !slices.Contains(t.neighbours, n) {
			t.neighbours = append(t.neighbours, n)
			t.ways[n] = &way{}
		}
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if lane.Server != nil {
		t.outlet, err = newNATSOutlet(lane.Server, lane.Token, t.me)
	} else {
		t.outlet = newDirectOutlet(lane.Listener, lane.Token, t.me, t.neighbours, t.left)
	}
	if err != nil {
		return nil, fmt.Errorf("allreduce: lane of job %q: %w", config.JobUID, err)
	}
	return t, nil
}

// Open is part of Transport. The connections with the neighbours come as the neighbours do; see settle.
func (t *LaneTransport) Open(ctx context.Context) error {
	if err := t.shared.Open(ctx); err != nil {
		return err
	}
	offers, err := t.answerOffers(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errors.Join(ErrTransportClosed, offers.Unsubscribe())
	}
	t.wg.Go(t.readShared)
	t.wg.Go(func() {
		<-t.ctx.Done()
		offers.Unsubscribe()
	})
	for _, n := range t.neighbours {
		t.wg.Go(func() { t.listenTo(n) })
	}
	return nil
}

// readShared takes frames from the shared transport.
func (t *LaneTransport) readShared() {
	for {
		frame, err := t.shared.Receive(t.ctx)
		if t.ctx.Err() != nil {
			return
		}
		if err != nil {
			t.to.failed(err)
			return
		}
		t.to.accept(foreign(frame))
	}
}

// listenTo keeps a connection to a neighbour and takes its frames, until the neighbour's process or this transport has ended.
func (t *LaneTransport) listenTo(rank int) {
	address := "" // where it was last
	for pause := firstPause; t.ctx.Err() == nil; pause = min(2*pause, 5*time.Second) {
		in, at, err := t.connect(rank)
		if err == nil {
			address = at
			start := time.Now()
			if err = t.receiveFrom(rank, in); hungUp(err) {
				err = nil
			}
			if time.Since(start) > lasting {
				pause = firstPause
			}
		}
		if t.ctx.Err() != nil {
			return
		}
		if address != "" && t.deserted(address) {
			t.to.ended(rank)
			return
		}
		t.note(rank, func(w *way) {
			w.in = false
			if !errors.Is(err, errNotAsked) { // else the neighbour may be yet to come
				w.inTried, w.why = true, err
			}
		})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
		}
	}
}

// deserted says whether the machine at an address answers that nobody listens there any more: then the process that did has ended.
func (t *LaneTransport) deserted(address string) bool {
	ctx, cancel := context.WithTimeout(t.ctx, dialWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// connect asks a neighbour where to connect, does so, and tells it what came of it.
func (t *LaneTransport) connect(rank int) (in inlet, address string, err error) {
	o, err := t.ask(rank, question{Party: t.me, Kind: asksOffer})
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(t.ctx, dialWithin)
	defer cancel()
	if in, err = dial(ctx, o, t.me); err != nil {
		if _, told := t.ask(rank, question{Party: t.me, Kind: saysFailed, Why: err.Error()}); told != nil {
			err = errors.Join(err, told)
		}
		return nil, "", fmt.Errorf("connect to rank %d: %w", rank, err)
	}
	if _, err := t.ask(rank, question{Party: t.me, Kind: saysAttached}); err != nil {
		in.Close()
		return nil, "", err
	}
	return in, o.Address, nil
}

// dial connects to the outlet that a neighbour offers.
func dial(ctx context.Context, o offer, me party) (inlet, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	var in inlet
	if o.NATS {
		in, err = subscribe(conn, o.Token, me)
	} else {
		in, err = introduce(conn, o.Token, me)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", o.Address, err)
	}
	conn.SetDeadline(time.Time{})
	return in, nil
}

// receiveFrom takes frames from a neighbour until the connection ends.
func (t *LaneTransport) receiveFrom(rank int, in inlet) error {
	over := make(chan struct{})
	var closer sync.WaitGroup
	closer.Go(func() {
		select {
		case <-t.ctx.Done():
		case <-over:
		}
		in.Close()
	})
	defer closer.Wait()
	defer close(over)
	t.note(rank, func(w *way) { w.in, w.inTried = true, true })
	for {
		b, err := in.receive(t.room)
		if err != nil {
			return fmt.Errorf("receive from rank %d: %w", rank, err)
		}
		t.to.accept(b)
	}
}

// room makes the buffer of a frame that is announced. What says so may not be a neighbour: no memory is taken for what no rank may send.
func (t *LaneTransport) room(n int) (buffer, error) {
	if n > t.most {
		return buffer{}, fmt.Errorf("%w: one of %d bytes is announced, %d are the most", errMalformed, n, t.most)
	}
	return t.pool.get(n), nil
}

// left notes that a neighbour does not listen any more.
func (t *LaneTransport) left(rank int) {
	t.note(rank, func(w *way) { w.out = false })
}

// note changes the state of a way, and tells if that changes where frames go. A neighbour that has hung up is no news, until it is known that it cannot come again.
func (t *LaneTransport) note(rank int, change func(w *way)) {
	t.mu.Lock()
	w := t.ways[rank]
	change(w)
	now := w.told
	switch {
	case t.closed:
	case w.out:
		now, w.why = toldStraight, nil
	case w.inTried && w.outTried && w.why != nil:
		now = toldShared
	}
	news, why := now != w.told, w.why
	w.told = now
	t.mu.Unlock()
	signal(t.changed)
	if news && t.lane.Changed != nil {
		t.lane.Changed(rank, now == toldStraight, why)
	}
}

// settle waits until the ways with all neighbours are known to work or not to, or for the limit.
func (t *LaneTransport) settle(ctx context.Context, limit time.Duration) {
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		t.mu.Lock()
		settled := true
		for _, w := range t.ways {
			settled = settled && w.inTried && w.outTried
		}
		t.mu.Unlock()
		if settled {
			return
		}
		select {
		case <-t.changed:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Send is part of Transport. It may be called by several goroutines at once, for different ranks.
func (t *LaneTransport) Send(to int, frame []byte) error {
	b := t.pool.get(len(frame))
	defer t.pool.put(b)
	copy(b.frame(), frame)
	return t.send(to, b)
}

// send is Send of a frame from where it lies.
func (t *LaneTransport) send(to int, b buffer) error {
	t.mu.Lock()
	out := t.ways[to] != nil && t.ways[to].out
	t.mu.Unlock()
	if !out {
		return t.shared.Send(to, b.frame())
	}
	if !b.roomy() {
		return t.Send(to, b.frame())
	}
	err := t.outlet.send(to, b)
	if err != nil {
		t.note(to, func(w *way) {
			if w.out = false; !hungUp(err) {
				w.why = err
			}
		})
	}
	return err
}

// Receive is part of Transport.
func (t *LaneTransport) Receive(ctx context.Context) ([]byte, error) { return t.inbox.next(ctx) }

// Status is part of Transport: connected while the shared NATS is or all neighbours are.
func (t *LaneTransport) Status() (connected bool, reconnects uint64) {
	connected, reconnects = t.shared.Status()
	if connected {
		return connected, reconnects
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.ways {
		if !w.in || !w.out {
			return false, reconnects
		}
	}
	return true, reconnects
}

// straight counts the neighbours to which frames go straight.
func (t *LaneTransport) straight() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, w := range t.ways {
		if w.out && !t.closed {
			n++
		}
	}
	return n
}

// MaxFrame is part of Transport: what the shared NATS takes.
func (t *LaneTransport) MaxFrame() int { return t.shared.MaxFrame() }

// Close is part of Transport. It returns when all goroutines have ended.
func (t *LaneTransport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.inbox.close() // who waits for Receive to take a frame ends, too
	err := errors.Join(t.outlet.close(), t.shared.Close())
	t.wg.Wait()
	return err
}
