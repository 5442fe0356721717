package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorded is a policy on a clock that only notes how long it was asked to wait. Attempts count as well, so that the budget needs some room.
func recorded(budget time.Duration) (Retry, *[]time.Duration) {
	waits := new([]time.Duration)
	return Retry{First: time.Second, Max: 5 * time.Second, Budget: budget + 100*time.Millisecond, Draw: func() float64 { return 1 }, Sleep: func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}}, waits
}

func TestRetryWaitsWithinItsBudget(t *testing.T) {
	down := fmt.Errorf("503: %w", ErrUnavailable)
	for _, c := range []struct {
		budget time.Duration
		want   []time.Duration
	}{{20, []time.Duration{1, 2, 4, 5, 5}}, {7, []time.Duration{1, 2, 4}}, {1, []time.Duration{1}}, {-1, nil}} {
		r, waits := recorded(c.budget * time.Second)
		told := 0
		r.Notify = func(w Waiting) { told++ }
		calls := 0
		err := r.Do(t.Context(), func() error { calls++; return down })
		for i := range c.want {
			c.want[i] *= time.Second
		}
		if !errors.Is(err, ErrUnavailable) || !slices.Equal(*waits, c.want) || calls != len(c.want)+1 || told != len(c.want) {
			t.Errorf("budget %d: waited %v in %d calls, told %d times, %v", c.budget, *waits, calls, told, err)
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("gave up after %d attempts", calls)) {
			t.Errorf("it does not say how often it was tried: %v", err)
		}
	}
}

func TestAttemptsCountWhateverTimeTheyTake(t *testing.T) {
	r, waits := recorded(-1)
	r.Attempts = 3
	calls := 0
	if err := r.Do(t.Context(), func() error { calls++; return ErrUnavailable }); calls != 3 || len(*waits) != 2 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%d calls and %d waits, %v; want 3 and 2", calls, len(*waits), err)
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Retry{First: time.Hour, Budget: 10 * time.Hour} // the real clock
	err := r.Do(ctx, func() error { cancel(); return ErrUnavailable })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRetryLeavesOtherErrorsAlone(t *testing.T) {
	r, waits := recorded(time.Hour)
	for _, e := range []error{ErrDenied, ErrNotExist, ErrNoBucket, ErrNoSpace, io.EOF} {
		calls := 0
		if err := r.Do(t.Context(), func() error { calls++; return e }); !errors.Is(err, e) || calls != 1 || len(*waits) != 0 {
			t.Errorf("%v: %v after %d calls", e, err, calls)
		}
	}
}

// breaking is a Bucket whose transfers break off after a few bytes.
type breaking struct {
	Bucket
	after, gets, puts int
}

func (b *breaking) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	b.gets++
	r, err := b.Bucket.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, int64(b.after)), broken{}), r}, nil
}

func (b *breaking) Put(context.Context, string, io.Reader, int64) error {
	b.puts++
	return ErrUnavailable
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, ErrUnavailable }

func TestABrokenReadGoesOnWhereItStopped(t *testing.T) {
	f := newFolder(t.TempDir())
	if err := f.Put(t.Context(), "k", strings.NewReader("0123456789"), 10); err != nil {
		t.Fatal(err)
	}
	for _, after := range []int{1, 3, 5, 10} {
		for _, length := range []int64{-1, 8} {
			r, _ := recorded(time.Second) // enough for one wait: progress renews it
			b := &breaking{Bucket: f, after: after}
			body, err := WithRetry(b, r).Get(t.Context(), "k", 2, length)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); string(got) != "23456789" || err != nil {
				t.Errorf("after %d, length %d: %q, %v", after, length, got, err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	r, waits := recorded(10 * time.Second)
	body, err := WithRetry(&breaking{Bucket: f}, r).Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, ErrUnavailable) || len(*waits) != 3 {
		t.Errorf("without progress: %v after waits %v", err, *waits)
	}
	_ = body.Close()
}

func TestAPutIsRepeatedOnlyFromItsStart(t *testing.T) {
	r, _ := recorded(3 * time.Second)
	b := &breaking{Bucket: newFolder(t.TempDir())}
	if err := WithRetry(b, r).Put(t.Context(), "k", strings.NewReader("1"), 1); !errors.Is(err, ErrUnavailable) || b.puts != 3 {
		t.Errorf("%v after %d calls", err, b.puts)
	}
	b.puts = 0
	if err := WithRetry(b, r).Put(t.Context(), "k", io.LimitReader(strings.NewReader("1"), 1), 1); !errors.Is(err, ErrUnavailable) || b.puts != 1 {
		t.Errorf("a reader that can't be rewound: %v after %d calls", err, b.puts)
	}
}

func TestWaitsAreSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 50 {
		r, waits := recorded(time.Second)
		r.Draw = nil // the real one
		_ = r.Do(t.Context(), func() error { return ErrUnavailable })
		if len(*waits) == 0 || (*waits)[0] < time.Second/2 || (*waits)[0] > time.Second {
			t.Fatalf("waits %v, want the first between half a second and one", *waits)
		}
		seen[(*waits)[0]] = true
	}
	if len(seen) < 10 {
		t.Errorf("only %d different waits of 50", len(seen))
	}
}

// A service that says when to come back is obeyed, and given up at once if that is beyond the budget.
func TestAServiceThatSaysWhenToComeBack(t *testing.T) {
	for asked, want := range map[time.Duration][]time.Duration{
		500 * time.Millisecond: {time.Second, 2 * time.Second, 4 * time.Second}, 3 * time.Second: {3 * time.Second, 3 * time.Second, 4 * time.Second}, time.Hour: nil,
	} {
		r, waits := recorded(10 * time.Second)
		err := r.Do(t.Context(), func() error { return fmt.Errorf("get: %w", &retryAfter{ErrUnavailable, asked}) })
		if !slices.Equal(*waits, want) || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "it asks to wait "+asked.String()) {
			t.Errorf("asked for %v: waits %v, %v", asked, *waits, err)
		}
	}
}

// A transfer that brings a byte now and then does not get on: its budget is not renewed.
func TestATrickleIsGivenUp(t *testing.T) {
	r, _ := recorded(time.Second)
	b := r.begin()
	b.begun = time.Now().Add(-10 * time.Second)
	b.waited = time.Second
	if b.progress(leastRate * 5); b.waited == 0 {
		t.Error("half of the least rate renews the budget")
	}
	if b.progress(leastRate * 11); b.waited != 0 {
		t.Error("more than the least rate does not renew the budget")
	}
}
