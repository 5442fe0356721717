package blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Retry says how long an operation that fails with ErrUnavailable is repeated. Waits double from First to Max, each drawn between half and
// whole so that many workers do not come back at once; a service that says when to come back is obeyed. It gives up when waits and attempts
// together would pass Budget. Zero fields take the defaults.
type Retry struct {
	First  time.Duration // default 100 ms
	Max    time.Duration // default 5 s
	Budget time.Duration // default 60 s; negative: one attempt only
	// Attempts, if set, takes the place of Budget: how often the operation is tried at most, whatever time that takes.
	Attempts int
	// Notify, if set, is called before each wait.
	Notify func(Waiting)
	// Sleep waits for d or until ctx ends, whichever is first. Tests set it; nil waits on the real clock.
	Sleep func(ctx context.Context, d time.Duration) error
	// Draw yields a number from [0, 1) for each wait. Tests set it; nil draws at random, which touches no result.
	Draw func() float64
}

// Waiting is what Retry.Notify is told: enough to say "s3://… failed for 41 s, next try in 8 s: reason".
type Waiting struct {
	Cause  error         // names the operation and the object
	Waited time.Duration // so far in this operation
	Next   time.Duration // until the next attempt
}

func (r Retry) withDefaults() Retry {
	if r.First <= 0 {
		r.First = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 5 * time.Second
	}
	if r.Budget == 0 {
		r.Budget = time.Minute
	}
	if r.Sleep == nil {
		r.Sleep = sleep
	}
	if r.Draw == nil {
		r.Draw = rand.Float64
	}
	return r
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do calls f until it returns nil, an error that is not ErrUnavailable, or the budget is spent.
func (r Retry) Do(ctx context.Context, f func() error) error {
	b := r.begin()
	for {
		err := f()
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return err
		}
		if err := b.wait(ctx, err); err != nil {
			return err
		}
	}
}

// retryAfter is in the errors of a service that has said when to come back.
type retryAfter struct {
	error
	wait time.Duration
}

func (r *retryAfter) Error() string { return fmt.Sprintf("%v; it asks to wait %v", r.error, r.wait) }
func (r *retryAfter) Unwrap() error { return r.error }

// backoff is the state of one operation's retries.
type backoff struct {
	policy   Retry
	waited   time.Duration // with the attempts
	next     time.Duration
	attempts int
	begun    time.Time // of the present attempt
}

func (r Retry) begin() *backoff {
	r = r.withDefaults()
	return &backoff{policy: r, next: r.First, begun: time.Now()}
}

// wait waits before the next attempt after cause, or says that there is none.
func (b *backoff) wait(ctx context.Context, cause error) error {
	b.attempts++
	// A long transfer that breaks at its end is worth another attempt, whatever it has taken.
	b.waited += min(time.Since(b.begun), stallTimeout)
	next := time.Duration(float64(b.next) * (0.5 + b.policy.Draw()/2))
	if asked := (*retryAfter)(nil); errors.As(cause, &asked) {
		next = max(next, asked.wait)
	}
	if b.spent(next) {
		return fmt.Errorf("%w (gave up after %d attempts and %s)", cause, b.attempts, b.waited.Round(time.Millisecond))
	}
	if b.policy.Notify != nil {
		b.policy.Notify(Waiting{Cause: cause, Waited: b.waited, Next: next})
	}
	if err := b.policy.Sleep(ctx, next); err != nil {
		return fmt.Errorf("%w while waiting to repeat: %w", err, cause)
	}
	b.waited += next
	b.next = min(2*b.next, b.policy.Max)
	b.begun = time.Now()
	return nil
}

// spent tells whether there is no other attempt after a wait.
func (b *backoff) spent(next time.Duration) bool {
	if most := b.policy.Attempts; most > 0 {
		return b.attempts >= most
	}
	return b.waited+next > b.policy.Budget
}

// progress forgets earlier failures if so many bytes have come since the present attempt began that the transfer gets on.
func (b *backoff) progress(bytes int64) {
	if bytes > 0 && float64(bytes) >= leastRate*time.Since(b.begun).Seconds() {
		b.waited, b.next, b.attempts = 0, b.policy.First, 0
	}
}
