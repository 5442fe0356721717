// Package allreducetest is an in-memory Transport for tests of and with collectives: any number of ranks in one process, with faults by
// frame number. It waits on channels and timers only, so it runs in a synctest bubble.
package allreducetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
)

// Fault is what happens to one frame on its way.
type Fault struct {
	Drop      bool
	Duplicate int           // further copies
	Corrupt   bool          // one bit is flipped
	Delay     time.Duration // frames that are due earlier overtake this one; those due at the same time stay in order
}

// Network connects the ranks of one or several generations.
type Network struct {
	// Fault, if set before the first frame, decides the fate of the n-th frame (from 0) from one rank to another. It is called by one
	// goroutine at a time for each pair.
	Fault func(from, to int, n uint64, frame []byte) Fault
	// MaxFrame is what every Transport reports; 1 GiB if 0.
	MaxFrame int

	mu      sync.Mutex
	ends    map[int]*Transport
	count   map[[2]int]uint64
	delayed map[[2]int][]delayed
}

// delayed is a frame on its way.
type delayed struct {
	due   time.Time
	frame []byte
}

// Transport is one rank's end.
type Transport struct {
	network *Network
	rank    int

	mu           sync.Mutex
	inbox        [][]byte
	arrived      chan struct{}
	open, closed bool
	done         chan struct{}
	disconnected bool
	reconnects   uint64
}

var _ allreduce.Transport = (*Transport)(nil)

var errDisconnected = errors.New("disconnected")

// Transport makes the end of a rank. A new end takes the place of an older one of the same rank.
func (n *Network) Transport(rank int) *Transport {
	t := &Transport{network: n, rank: rank, arrived: make(chan struct{}, 1), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends == nil {
		n.ends, n.count, n.delayed = map[int]*Transport{}, map[[2]int]uint64{}, map[[2]int][]delayed{}
	}
	n.ends[rank] = t
	return t
}

// Inject delivers a frame to a rank as it is, from outside.
func (n *Network) Inject(to int, frame []byte) {
	n.mu.Lock()
	end := n.ends[to]
	n.mu.Unlock()
	if end != nil {
		end.deliver(append([]byte(nil), frame...))
	}
}

// SetConnected cuts this rank off the network, or lets it back.
func (t *Transport) SetConnected(connected bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if connected && t.disconnected {
		t.reconnects++
	}
	t.disconnected = !connected
}

func (t *Transport) Open(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = true
	return nil
}

func (t *Transport) Send(to int, frame []byte) error {
	t.mu.Lock()
	closed, disconnected := t.closed, t.disconnected
	t.mu.Unlock()
	switch {
	case closed:
		return allreduce.ErrTransportClosed
	case disconnected:
		return errDisconnected
	}
	n := t.network
	n.mu.Lock()
	link := [2]int{t.rank, to}
	number := n.count[link]
	n.count[link]++
	end := n.ends[to]
	n.mu.Unlock()
	var fault Fault
	if n.Fault != nil {
		fault = n.Fault(t.rank, to, number, frame)
	}
	if fault.Drop || end == nil {
		return nil
	}
	for range 1 + fault.Duplicate {
		buf := append([]byte(nil), frame...)
		if fault.Corrupt {
			buf[(number*7919)%uint64(len(buf))] ^= 1 << (number % 8)
		}
		if fault.Delay > 0 {
			n.deliverLater(link, end, buf, fault.Delay)
		} else {
			end.deliver(buf)
		}
	}
	return nil
}

// deliverLater keeps frames of one pair in the order in which they are due. Timers of one instant fire in any order, so each delivers
// whichever frame comes first.
func (n *Network) deliverLater(link [2]int, end *Transport, frame []byte, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delayed[link] = append(n.delayed[link], delayed{time.Now().Add(delay), frame})
	slices.SortStableFunc(n.delayed[link], func(a, b delayed) int { return a.due.Compare(b.due) })
	time.AfterFunc(delay, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		first := n.delayed[link][0]
		n.delayed[link] = n.delayed[link][1:]
		end.deliver(first.frame)
	})
}

func (t *Transport) deliver(frame []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open || t.closed || t.disconnected {
		return
	}
	t.inbox = append(t.inbox, frame)
	select {
	case t.arrived <- struct{}{}:
	default:
	}
}

func (t *Transport) Receive(ctx context.Context) ([]byte, error) {
	for {
		t.mu.Lock()
		if len(t.inbox) > 0 {
			frame := t.inbox[0]
			t.inbox = t.inbox[1:]
			t.mu.Unlock()
			return frame, nil
		}
		t.mu.Unlock()
		select {
		case <-t.arrived:
		case <-t.done:
			return nil, allreduce.ErrTransportClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (t *Transport) Status() (connected bool, reconnects uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.disconnected, t.reconnects
}

func (t *Transport) MaxFrame() int {
	if t.network.MaxFrame > 0 {
		return t.network.MaxFrame
	}
	return 1 << 30
}

func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
	return nil
}
