package allreduce

import (
	"errors"
	"fmt"
	"slices"
)

// write hands frames to the transport until the link is closed: small ones first, then data in order. It alone calls Send, so that a
// transport that blocks holds up neither the collective's deadline nor the reading side.
func (l *link) write() {
	defer l.wg.Done()
	var scratch []byte
	for {
		buf, to, f := l.pick(&scratch)
		if buf == nil {
			select {
			case <-l.wake:
				continue
			case <-l.ctx.Done():
				return
			}
		}
		err := l.transport.Send(to, buf)
		l.written(f, len(buf), err)
		if l.ctx.Err() != nil {
			return
		}
	}
}

// pick chooses what to write next; nil if there is nothing. f is set for a data frame. Small frames are built in scratch.
func (l *link) pick(scratch *[]byte) (buf []byte, to int, f *frame) {
	l.mu.Lock()
	h := header{job: l.job, generation: l.config.Generation, from: uint16(l.config.Rank)}
	payload := ""
	switch {
	case len(l.control) > 0:
		c := l.control[0]
		l.control = l.control[1:]
		h.kind, h.flags, h.segment, h.offset, h.total, to = c.kind, c.flags, c.segment, c.offset, c.total, c.to
		if c.kind == kindHello {
			payload = l.config.greeting()
		}
	case l.ackDue || l.nackDue:
		h.kind, h.seq, h.offset, to = kindAck, l.received, l.taken, l.left.rank
		if l.nackDue {
			h.flags = flagResend
		}
		l.acked, l.reported = l.received, l.taken
		l.ackDue, l.nackDue = false, false
	case l.next < len(l.queue) && !l.held:
		f = l.queue[l.next]
		l.next++
		l.writing = f
		f.writes++
		first := f.writes == 1
		buf, to = f.buf, l.right.rank
		l.mu.Unlock()
		if first {
			// Outside the lock: the checksum is the long part, and only this goroutine touches the buffer.
			f.header.job, f.header.generation, f.header.from = l.job, l.config.Generation, uint16(l.config.Rank)
			f.header.seal(buf)
		}
		return buf, to, f
	default:
		l.mu.Unlock()
		return nil, 0, nil
	}
	l.busy = true
	l.stats.ControlSent++
	l.mu.Unlock()
	*scratch = append(append((*scratch)[:0], make([]byte, headerBytes)...), payload...)
	h.seal(*scratch)
	return *scratch, to, nil
}

// written notes what became of a frame.
func (l *link) written(f *frame, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = nil
	if f == nil {
		l.busy = false
		signal(l.quiet)
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
	signal(l.wake)
}
