package allreduce

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// read takes frames from a Transport until the link is closed. A LaneTransport calls accept, ended and failed itself.
func (l *link) read() {
	for {
		buf, err := l.transport.Receive(l.ctx)
		var gone *Ended
		switch {
		case l.ctx.Err() != nil:
			return
		case errors.As(err, &gone):
			l.ended(gone.Rank)
		case err != nil:
			l.failed(err)
			return
		default:
			l.accept(foreign(buf))
		}
	}
}

// failed ends the collectives because nothing will be received any more.
func (l *link) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(fmt.Errorf("receiving frames: %w", err))
}

// ended notes that a neighbour's process is no more.
func (l *link) ended(rank int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers() {
		if p.rank == rank && !p.gone {
			l.lost(&ErrPeerLost{Rank: rank, By: l.config.Rank, Ended: true})
		}
	}
}

// accept checks a received frame and acts on it. Frames that are not for this generation of this job are counted and dropped: a frozen
// process that comes back must not disturb those that went on without it.
func (l *link) accept(b buffer) {
	buf := b.frame()
	h, err := parse(buf)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if errors.Is(err, errCorrupt) {
			l.stats.Rejected.Corrupt++
		} else {
			l.stats.Rejected.Malformed++
		}
		l.requestResend()
		return
	}
	switch {
	case h.job != l.job:
		l.stats.Rejected.Foreign++
		return
	case h.generation != l.config.Generation:
		l.stats.Rejected.Stale++
		return
	}
	p := l.peer(h)
	if p == nil {
		l.stats.Rejected.Misrouted++
		return
	}
	p.heard = true
	switch h.kind {
	case kindHello:
		l.hello(p, h, string(buf[headerBytes:]))
		return
	case kindLost:
		l.lost(&ErrPeerLost{
			Rank: int(h.segment), By: int(h.offset), Left: h.flags&flagLeft != 0, Ended: h.flags&flagEnded != 0,
			Silent: time.Duration(h.total), Limit: l.config.DetectWithin,
		})
		return
	case kindBye:
		if h.flags&flagHeard != 0 {
			p.heardBye = true
			signal(l.quiet)
			return
		}
		l.post(control{kind: kindBye, to: p.rank, flags: flagHeard})
		l.bye(p)
		return
	}
	// Everything else is sent only by a rank that has heard our greeting.
	l.greeted(p, true)
	switch h.kind {
	case kindData:
		l.data(h, b)
	case kindAck:
		l.ack(h)
	}
}

// peer returns the neighbour that a frame of this kind may come from, or nil.
func (l *link) peer(h header) *peer {
	from := int(h.from)
	switch h.kind {
	case kindData, kindKeepalive:
		if from == l.left.rank {
			return l.left
		}
	case kindAck:
		if from == l.right.rank {
			return l.right
		}
	case kindHello, kindLost, kindBye:
		for _, p := range l.peers() {
			if from == p.rank {
				return p
			}
		}
	}
	return nil
}

func (l *link) data(h header, b buffer) {
	switch {
	case h.seq <= l.received:
		l.stats.Rejected.Duplicate++
		// The acknowledgement was lost, or is late; the sender must not repeat this for ever.
		l.ackDue = true
		signal(l.left.wake)
		return
	case h.seq > l.received+1:
		l.stats.Rejected.OutOfOrder++
		l.requestResend()
		return
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(b.frame())))%8 != 0 {
		b = foreign(append(make([]byte, 0, b.n), b.frame()...))
	}
	l.received++
	l.waiting += b.n
	l.inbox = append(l.inbox, &frame{header: h, buffer: b, summed: true})
	l.stats.FramesReceived++
	l.stats.BytesReceived += uint64(b.n)
	l.stats.MaxWaiting = max(l.stats.MaxWaiting, l.waiting)
	signal(l.arrived)
}

// requestResend asks the left neighbour to go back to the first frame that is missing, once for each such frame: the frames after a gap
// arrive in numbers. If the request or the answer is lost, the sender's patience runs out.
func (l *link) requestResend() {
	if l.nacked != l.received+1 {
		l.nacked = l.received + 1
		l.nackDue = true
		signal(l.left.wake)
	}
}

func (l *link) ack(h header) {
	if h.seq > l.seq || h.offset > h.seq {
		l.stats.Rejected.Malformed++
		return
	}
	if h.offset > l.credited {
		l.credited = h.offset
		signal(l.space)
	}
	n := 0
	for n < len(l.queue) && l.queue[n].header.seq <= h.seq {
		l.kept -= l.queue[n].buffer.n
		l.recycle(l.queue[n])
		l.queue[n] = nil
		n++
	}
	if n > 0 {
		l.queue = l.queue[n:]
		l.next = max(0, l.next-n)
		l.stall, l.patience = 0, l.minPatience()
		if len(l.queue) == 0 {
			signal(l.quiet)
		}
	}
	if h.flags&flagResend != 0 && len(l.queue) > 0 && h.seq+1 == l.queue[0].header.seq {
		l.rewind()
	}
}

// rewind has everything that is not acknowledged written again. Callers hold mu.
func (l *link) rewind() {
	l.next, l.stall = 0, 0
	signal(l.right.wake)
}

func (l *link) hello(p *peer, h header, greeting string) {
	heard := h.flags&flagHeard != 0
	if !heard {
		l.post(control{kind: kindHello, to: p.rank, flags: flagHeard})
	}
	if mine := l.config.greeting(); greeting != mine {
		l.fail(fmt.Errorf("%w: rank %d has %s; rank %d has %s", ErrMismatch, p.rank, greeting, l.config.Rank, mine))
		return
	}
	l.greeted(p, heard)
}

// greeted notes that a neighbour is there.
func (l *link) greeted(p *peer, heardUs bool) {
	if !p.hello || heardUs && !p.heardUs {
		p.hello, p.heardUs = true, p.heardUs || heardUs
		signal(l.arrived)
	}
}

// lost ends the generation's collectives here and passes the news on, so that every rank knows within a trip around the ring.
func (l *link) lost(e *ErrPeerLost) {
	if l.err == nil {
		l.fail(e)
		l.postLost(e)
	}
}

// postLost tells both neighbours that a rank is lost; the lost one too, should it come back. Callers hold mu.
func (l *link) postLost(e *ErrPeerLost) {
	flags := uint16(0)
	if e.Left {
		flags |= flagLeft
	}
	if e.Ended {
		flags |= flagEnded
	}
	for _, p := range l.peers() {
		l.post(control{kind: kindLost, to: p.rank, flags: flags, segment: uint16(e.Rank), offset: uint64(e.By), total: uint64(e.Silent)})
	}
}

// bye notes that a neighbour has closed its Group. It lingers for what it owes, so what has not come by now will not come.
func (l *link) bye(p *peer) {
	p.gone = true
	if p == l.right {
		l.queue, l.next, l.kept = nil, 0, 0
	}
	signal(l.arrived)
	signal(l.space)
	signal(l.quiet)
}
