package main

import (
	"context"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// watch calls changed with each state of the job until done says that it has seen enough. It goes on at another coordinator when one is lost.
func (c *client) watch(ctx context.Context, uid string, changed func(*sslctlv1.Job) (done bool)) error {
	return c.stream(ctx, "following job "+uid, streamPatience, func(ctx context.Context, e endpoint) (heard bool, err error) {
		heard, done, err := receive(ctx, e.jobs.Watch, &sslctlv1.WatchRequest{Job: uid}, func(m *sslctlv1.WatchResponse) (bool, error) {
			return changed(m.Job), nil
		})
		if err == nil && !done {
			err = errCut
		}
		return heard, err
	})
}

// ended tells whether a job will not change any more.
func ended(s sslctlv1.JobState) bool {
	return s == sslctlv1.JobState_JOB_STATE_COMPLETED || s == sslctlv1.JobState_JOB_STATE_FAILED || s == sslctlv1.JobState_JOB_STATE_CANCELLED
}
