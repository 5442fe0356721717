package allreduce

import (
	"errors"
	"time"
)

// keepalives is how many a rank sends to each neighbour within DetectWithin: enough that some get through a transport that loses many.
const keepalives = 8

// disconnectedFactor is how many times DetectWithin a rank bears silence while it is itself cut off from the transport.
const disconnectedFactor = 3

// tick is the clock of watch: fine against DetectWithin, but no finer than the machine's load allows to be kept.
func (l *link) tick() time.Duration {
	return min(max(l.config.DetectWithin/16, time.Millisecond), 25*time.Millisecond)
}

// minPatience is how long the right neighbour may leave frames unacknowledged before they are written again; it doubles with each
// repetition up to maxPatience. Acknowledgements come at least once a tick.
func (l *link) minPatience() time.Duration { return max(l.config.DetectWithin/8, 4*l.tick()) }
func (l *link) maxPatience() time.Duration { return max(l.config.DetectWithin/2, 4*l.tick()) }

// watch keeps this rank's keepalives going, counts the neighbours' silence, and repeats what stays unacknowledged.
func (l *link) watch() {
	tick := l.tick()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	_, reconnects := l.transport.Status()
	sinceKeepalive := time.Duration(0)
	for {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
		now := time.Now()
		// Time in which this process itself stood still (stopped, swapped out) says nothing about the neighbours: what they sent
		// meanwhile is yet to be read. So a long gap between ticks counts as a short one.
		elapsed := min(now.Sub(last), 4*tick)
		last = now
		connected, count := l.transport.Status()
		sinceKeepalive += elapsed
		l.mu.Lock()
		if sinceKeepalive >= l.config.DetectWithin/keepalives || count != reconnects {
			sinceKeepalive = 0
			l.keepalive()
		}
		if l.acked != l.received {
			l.ackDue = true
		}
		l.reportTaken()
		l.checkProgress(elapsed, connected, count != reconnects)
		l.checkPeers(elapsed, connected, count != reconnects)
		for _, p := range l.peers() {
			signal(p.wake)
		}
		l.mu.Unlock()
		reconnects = count
	}
}

// keepalive shows both neighbours that this rank lives. Once a rank is lost, it repeats that instead: a neighbour that was cut off when
// it was first said must not wait for a ring that has ended.
func (l *link) keepalive() {
	var lost *ErrPeerLost
	if errors.As(l.err, &lost) {
		l.postLost(lost)
		return
	}
	l.post(control{kind: kindKeepalive, to: l.right.rank})
	l.ackDue = true // an acknowledgement is the keepalive to the left
}

// checkProgress repeats unacknowledged frames after a reconnect, and when acknowledgements stay away.
func (l *link) checkProgress(elapsed time.Duration, connected, reconnected bool) {
	if connected {
		l.held = false
	}
	if len(l.queue) == 0 || !connected {
		return
	}
	l.stall += elapsed
	if reconnected || l.stall >= l.patience {
		if !reconnected {
			l.patience = min(2*l.patience, l.maxPatience())
		}
		l.rewind()
	}
}

// checkPeers finds neighbours that have been silent for too long. While this rank is cut off, it is the one that is not heard and does
// not hear; then three times the limit holds, counted from the last frame, however often the connection comes and goes.
func (l *link) checkPeers(elapsed time.Duration, connected, reconnected bool) {
	if !l.watched || l.err != nil {
		return
	}
	for _, p := range l.peers() {
		switch {
		case p.gone:
			continue
		case p.heard:
			p.heard, p.silent, p.total = false, 0, 0
			continue
		case reconnected:
			p.silent = 0
		}
		p.total += elapsed
		if connected {
			p.silent += elapsed
		}
		limit := l.config.DetectWithin
		if p.silent >= limit || p.total >= disconnectedFactor*limit {
			if p.silent < limit {
				limit *= disconnectedFactor
			}
			l.lost(&ErrPeerLost{Rank: p.rank, By: l.config.Rank, Silent: p.total, Limit: limit})
			return
		}
	}
}
