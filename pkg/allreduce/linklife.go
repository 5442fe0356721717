package allreduce

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// greet opens the transport, starts the goroutines and returns when both neighbours have greeted and have heard our greeting. Greetings
// are repeated: a frame to a rank that is not there yet is lost. Each one asks whether it was heard, and read answers: also for a rank
// that has greeted to the end and would else have nothing to say before its next keepalive.
func (l *link) greet(ctx context.Context) error {
	if err := l.transport.Open(ctx); err != nil {
		return fmt.Errorf("opening the transport: %w", err)
	}
	if !l.start() {
		return ErrClosed
	}
	begin := time.Now()
	repeat := time.NewTicker(min(l.config.DetectWithin/4, 50*time.Millisecond))
	defer repeat.Stop()
	for {
		l.mu.Lock()
		err := l.err
		var missing []string
		for _, p := range l.peers() {
			if p.hello && p.heardUs {
				continue
			}
			missing = append(missing, fmt.Sprintf("rank %d", p.rank))
			l.post(control{kind: kindHello, to: p.rank})
		}
		l.watched = len(missing) == 0
		l.mu.Unlock()
		switch {
		case err != nil:
			return err
		case len(missing) == 0:
			return nil
		}
		select {
		case <-repeat.C:
		case <-l.arrived:
		case <-l.over:
		case <-ctx.Done():
			return fmt.Errorf("awaited the greeting of %s for %s: %w",
				strings.Join(missing, " and "), time.Since(begin).Round(time.Millisecond), context.Cause(ctx))
		}
	}
}

// close says goodbye and ends the goroutines. After an undisturbed run (linger) it first waits until the right neighbour has everything
// and both neighbours have heard the goodbye, as long as a cut-off rank would be borne: DetectWithin is too short to repeat much.
func (l *link) close(linger bool) error {
	l.mu.Lock()
	started := l.started
	if !started {
		l.fail(ErrClosed)
	}
	l.mu.Unlock()
	if !started {
		return l.transport.Close()
	}
	limit := l.config.DetectWithin
	if linger {
		limit *= disconnectedFactor
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	if linger {
		l.until(end.C, func() bool { return len(l.queue) == 0 || l.right.gone || l.err != nil })
		l.farewell(end.C, true)
	}
	l.mu.Lock()
	l.fail(ErrClosed)
	l.mu.Unlock()
	if !linger {
		l.farewell(end.C, false)
	}
	l.cancel()
	err := l.transport.Close()
	l.wg.Wait()
	if err != nil {
		return fmt.Errorf("closing the transport: %w", err)
	}
	return nil
}

// farewell says goodbye to both neighbours; if confirm is set, until they have answered, have left themselves or are lost.
func (l *link) farewell(limit <-chan time.Time, confirm bool) {
	repeat := time.NewTicker(l.minPatience())
	defer repeat.Stop()
	again := true
	for {
		l.mu.Lock()
		waiting := len(l.control) > 0 || l.busy > 0
		for _, p := range l.peers() {
			if p.gone || p.heardBye {
				continue
			}
			waiting = waiting || confirm && l.err == nil
			if again {
				l.post(control{kind: kindBye, to: p.rank})
				waiting = true
			}
		}
		l.mu.Unlock()
		if !waiting {
			return
		}
		again = false
		select {
		case <-l.quiet:
		case <-repeat.C:
			again = confirm
		case <-limit:
			return
		}
	}
}

// until waits for a condition on the link's state that quiet announces, or for the limit.
func (l *link) until(limit <-chan time.Time, done func() bool) {
	for {
		l.mu.Lock()
		ok := done()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.quiet:
		case <-limit:
			return
		}
	}
}
