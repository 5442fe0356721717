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

const (
	// streamSilence is how long a stream may say nothing before it is opened again: a frozen coordinator closes no connection.
	streamSilence = 15 * time.Second
	// streamPatience is how long following goes on while no coordinator answers. Training outlives its coordinators for a while, too.
	streamPatience = 2 * time.Minute
)

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

// receive opens a stream and calls take with each message, until that has seen enough (done) or the stream ends. A stream that is silent
// for too long is cut off.
func receive[Req, Res any](ctx context.Context, open func(context.Context, *connect.Request[Req]) (*connect.ServerStreamForClient[Res], error), r *Req,
	take func(*Res) (done bool, err error)) (heard, done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	stream, err := open(ctx, connect.NewRequest(r))
	if err != nil {
		return false, false, err
	}
	defer func() {
		// The stream is over or abandoned; what closing it says changes nothing.
		_ = stream.Close()
	}()
	for stream.Receive() {
		silence.Reset(streamSilence)
		heard = true
		if done, err := take(stream.Msg()); done || err != nil {
			return true, done, err
		}
	}
	return heard, false, stream.Err()
}
