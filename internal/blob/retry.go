package blob

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Retry says how long an operation that fails with ErrUnavailable is repeated. Waits double from First to Max, without jitter, until
// their sum would pass Budget. Zero fields take the defaults.
type Retry struct {
	First  time.Duration // default 100 ms
	Max    time.Duration // default 5 s
	Budget time.Duration // default 60 s; negative: one attempt only
	// Notify, if set, is called before each wait.
	Notify func(Waiting)
	// Sleep waits for d or until ctx ends, whichever is first. Tests set it; nil waits on the real clock.
	Sleep func(ctx context.Context, d time.Duration) error
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

// backoff is the state of one operation's retries.
type backoff struct {
	policy   Retry
	waited   time.Duration
	next     time.Duration
	attempts int
}

func (r Retry) begin() *backoff {
	r = r.withDefaults()
	return &backoff{policy: r, next: r.First}
}

// wait waits before the next attempt after cause, or says that there is none.
func (b *backoff) wait(ctx context.Context, cause error) error {
	b.attempts++
	if b.waited+b.next > b.policy.Budget {
		return fmt.Errorf("%w (gave up after %d attempts and %s of waiting)", cause, b.attempts, b.waited)
	}
	if b.policy.Notify != nil {
		b.policy.Notify(Waiting{Cause: cause, Waited: b.waited, Next: b.next})
	}
	if err := b.policy.Sleep(ctx, b.next); err != nil {
		return fmt.Errorf("%w while waiting to repeat: %w", err, cause)
	}
	b.waited += b.next
	b.next = min(2*b.next, b.policy.Max)
	return nil
}

// reset forgets earlier failures: there was progress.
func (b *backoff) reset() { *b = backoff{policy: b.policy, next: b.policy.First} }
