package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newWorkerDrainCommand(g *globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "drain WORKER",
		Short: "Give a worker no new work, and let its job go on without it",
		Long: `Gives a worker no new work, as cordon does, and lets its job go on without it: the job's workers store a checkpoint at the next step
boundary, and the others go on from there, so that no step is repeated. If too few are left, the job waits. "sslctl worker uncordon" takes it back.`,
		Args: arguments(1, 1, "the worker's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runWorkerDrain(cmd.Context(), g, args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the worker has no job any more, not when the drain is accepted")
	return cmd
}

func runWorkerDrain(ctx context.Context, g *globals, id string, wait bool) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	w, err := c.cordon(ctx, id, true)
	for err == nil && wait && w.JobUid != "" {
		if err := g.awaitRelease(ctx, c, w); err != nil {
			return err
		}
		w, err = c.worker(ctx, id)
	}
	if err != nil {
		return err
	}
	return g.printWorker(w)
}

// awaitRelease waits until a worker's job goes on without it, or has ended, and tells what it waits for.
func (g *globals) awaitRelease(ctx context.Context, c *client, w *sslctlv1.Worker) error {
	told := ""
	err := c.watch(ctx, w.JobUid, func(j *sslctlv1.Job) bool {
		if !has(j, w) {
			return true
		}
		if j.Reason != told {
			told = j.Reason
			fmt.Fprintf(g.err, "job %s is %s: %s\n", j.Name, stateName(j.State), j.Reason)
		}
		return false
	})
	if exitCode(err) == exitNotFound { // deleted meanwhile
		return nil
	}
	return err
}

// has tells whether a worker takes part in a job now.
func has(j *sslctlv1.Job, w *sslctlv1.Worker) bool {
	switch j.State {
	case sslctlv1.JobState_JOB_STATE_STARTING, sslctlv1.JobState_JOB_STATE_RUNNING, sslctlv1.JobState_JOB_STATE_PAUSING:
		for _, m := range j.Members {
			if m.WorkerId == w.Id && m.Incarnation == w.Incarnation {
				return true
			}
		}
	}
	return false
}

// worker reads one worker.
func (c *client) worker(ctx context.Context, id string) (*sslctlv1.Worker, error) {
	cluster, err := c.getCluster(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range cluster.Workers {
		if w.Id == id {
			return w, nil
		}
	}
	return nil, &apiError{"reading worker " + id, connect.NewError(connect.CodeNotFound, fmt.Errorf("it is gone"))}
}
