package main

import (
	"cmp"
	"context"
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
	return c.stream(ctx, "following job "+uid, watchPatience, func(ctx context.Context, e endpoint) (heard bool, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		silence := time.AfterFunc(watchSilence, cancel)
		defer silence.Stop()
		stream, err := e.jobs.Watch(ctx, connect.NewRequest(&sslctlv1.WatchRequest{Job: uid}))
		if err != nil {
			return false, err
		}
		defer func() {
			// The stream is over or abandoned; what closing it says changes nothing.
			_ = stream.Close()
		}()
		for stream.Receive() {
			silence.Reset(watchSilence)
			heard = true
			if changed(stream.Msg().Job) {
				return true, nil
			}
		}
		return heard, cmp.Or(stream.Err(), errCut)
	})
}

// ended tells whether a job will not change any more.
func ended(s sslctlv1.JobState) bool {
	return s == sslctlv1.JobState_JOB_STATE_COMPLETED || s == sslctlv1.JobState_JOB_STATE_FAILED || s == sslctlv1.JobState_JOB_STATE_CANCELLED
}
