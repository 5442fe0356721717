package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
)

// errCut is returned by one attempt at a stream that ended before what was waited for.
var errCut = errors.New("the stream ended early")

// stream repeats once, which reads a stream at the current coordinator until there is nothing more to come (nil), at the next coordinator
// when one is lost. It gives up when nothing was heard of any for patience.
func (c *client) stream(ctx context.Context, doing string, patience time.Duration, once func(context.Context, endpoint) (heard bool, err error)) error {
	lost := time.Time{} // since when nobody answers
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		at := c.endpoints[c.current]
		heard, err := once(ctx, at)
		api := new(connect.Error)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", doing, context.Canceled)
		case errors.Is(err, errCut) || again(err) && errors.As(err, &api):
		case errors.As(err, &api):
			return &apiError{doing, api}
		default:
			return fmt.Errorf("%s: %w", doing, err)
		}
		c.current = (c.current + 1) % len(c.endpoints)
		if heard {
			lost, wait = time.Time{}, 50*time.Millisecond
		} else if lost.IsZero() {
			lost = time.Now()
		} else if time.Since(lost) > patience {
			return fmt.Errorf("%s: %w for %v (%s)", doing, errUnreachable, patience, at.address+": "+message(err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
