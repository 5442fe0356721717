package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

const (
	// watchSilence is how long a stream may say nothing before the job is asked for again: a frozen coordinator closes no connection.
	watchSilence = 15 * time.Second
	// watchPatience is how long following goes on while no coordinator answers. Training outlives its coordinators for a while, too.
	watchPatience = 2 * time.Minute
)

// watch calls changed with each state of the job until done says that it has seen enough. It goes on at another coordinator when one is lost.
func (c *client) watch(ctx context.Context, uid string, changed func(*sslctlv1.Job) (done bool)) error {
	doing := "following job " + uid
	lost := time.Time{} // since when nobody answers
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		heard, done, err := c.watchOnce(ctx, uid, changed)
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", doing, context.Canceled)
		case err != nil && !again(err):
			api := new(connect.Error)
			if errors.As(err, &api) {
				return &apiError{doing, api}
			}
			return fmt.Errorf("%s: %w", doing, err)
		}
		c.current = (c.current + 1) % len(c.endpoints)
		if heard {
			lost, wait = time.Time{}, 50*time.Millisecond
		} else if lost.IsZero() {
			lost = time.Now()
		} else if time.Since(lost) > watchPatience {
			return fmt.Errorf("%s: %w for %v (%s); the job may still be running", doing, errUnreachable, watchPatience, message(err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// watchOnce follows at one coordinator until its stream ends, fails or falls silent.
func (c *client) watchOnce(ctx context.Context, uid string, changed func(*sslctlv1.Job) bool) (heard, done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	stream, err := c.endpoints[c.current].jobs.Watch(ctx, connect.NewRequest(&sslctlv1.WatchRequest{Job: uid}))
	if err != nil {
		return false, false, err
	}
	defer func() {
		// The stream is over or abandoned; what closing it says changes nothing.
		_ = stream.Close()
	}()
	for stream.Receive() {
		silence.Reset(watchSilence)
		heard = true
		if changed(stream.Msg().Job) {
			return true, true, nil
		}
	}
	return heard, false, stream.Err()
}

// ended tells whether a job will not change any more.
func ended(s sslctlv1.JobState) bool {
	return s == sslctlv1.JobState_JOB_STATE_COMPLETED || s == sslctlv1.JobState_JOB_STATE_FAILED || s == sslctlv1.JobState_JOB_STATE_CANCELLED
}
