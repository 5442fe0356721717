package allreduce

import (
	"errors"
	"fmt"
	"slices"
)

// write hands the frames for one neighbour to the transport until the link is closed: small ones first, then data in order. Only the
// writers call Send, so that a neighbour that does not read holds up neither the collective's deadline, nor the reading side, nor what the
// other neighbour is to hear.
func (l *link) write(p *peer) {
	var scratch []byte
	for {
		b, f := l.pick(p, &scratch)
		if b.n == 0 {
			select {
			case <-p.wake:
				continue
			case <-l.ctx.Done():
				return
			}
		}
		var err error
		if l.lanes != nil {
			err = l.lanes.send(p.rank, b)
		} else {
			err = l.transport.Send(p.rank, b.frame())
		}
		l.written(f, b.n, err)
		if l.ctx.Err() != nil {
			return
		}
	}
}

// pick chooses what to write to a neighbour next; an empty buffer if there is nothing. f is set for a data frame. Small frames are built
// in scratch.
func (l *link) pick(p *peer, scratch *[]byte) (b buffer, f *frame) {
	l.mu.Lock()
	h := header{job: l.job, generation: l.config.Generation, from: uint16(l.config.Rank)}
	payload := ""
	at := slices.IndexFunc(l.control, func(c control) bool { return c.to == p.rank })
	switch {
	case at >= 0:
		c := l.control[at]
		l.control = slices.Delete(l.control, at, at+1)
		h.kind, h.flags, h.segment, h.offset, h.total = c.kind, c.flags, c.segment, c.offset, c.total
		if c.kind == kindHello {
			payload = l.config.greeting()
		}
	case p == l.left && (l.ackDue || l.nackDue):
		h.kind, h.seq, h.offset = kindAck, l.received, l.taken
		if l.nackDue {
			h.flags = flagResend
		}
		l.acked, l.reported = l.received, l.taken
		l.ackDue, l.nackDue = false, false
	case p == l.right && l.next < len(l.queue) && !l.held:
		f = l.queue[l.next]
		l.next++
		l.writing = f
		f.writes++
		first := f.writes == 1
		b = f.buffer
		l.mu.Unlock()
		if first {
			// Outside the lock: the checksum is the long part, and only this goroutine touches the buffer.
			f.header.job, f.header.generation, f.header.from = l.job, l.config.Generation, uint16(l.config.Rank)
			if !f.summed {
				f.header.sum, f.summed = checksum(b.frame()[headerBytes:]), true
			}
			f.header.seal(b.frame())
		}
		return b, f
	default:
		l.mu.Unlock()
		return buffer{}, nil
	}
	l.busy++
	l.stats.ControlSent++
	l.mu.Unlock()
	b = buffer{lead: leadBytes, n: headerBytes + len(payload)}
	*scratch = slices.Grow((*scratch)[:0], leadBytes+b.n+tailBytes)[:leadBytes+b.n+tailBytes]
	b.raw = *scratch
	copy(b.frame()[headerBytes:], payload)
	h.sum = checksum(b.frame()[headerBytes:])
	h.seal(b.frame())
	return b, nil
}

// written notes what became of a frame.
func (l *link) written(f *frame, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f == nil {
		l.busy--
		signal(l.quiet)
	} else {
		l.writing = nil
	}
	switch {
	case err == nil:
		if f != nil && f.writes > 1 {
			l.stats.FramesResent++
			l.stats.BytesResent += uint64(n)
		}
	case l.ctx.Err() != nil:
	case errors.Is(err, ErrTransportClosed), errors.Is(err, ErrFrameTooLarge):
		l.fail(fmt.Errorf("sending a frame of %d bytes: %w", n, err))
	default:
		l.stats.SendErrors++
		if f == nil {
			return // small frames are repeated
		}
		l.held = true
		if len(l.queue) > 0 && f.header.seq >= l.queue[0].header.seq {
			l.next = min(l.next, int(f.header.seq-l.queue[0].header.seq))
		}
	}
}

// post queues a small frame, unless the same one waits already. Callers hold mu.
func (l *link) post(c control) {
	if !slices.Contains(l.control, c) {
		l.control = append(l.control, c)
	}
	for _, p := range l.peers() {
		if p.rank == c.to {
			signal(p.wake)
		}
	}
}
