package main

import (
	"context"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newPauseCommand(g *globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "pause JOB",
		Short: "Stop a job at a step boundary, with a checkpoint",
		Args:  arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPause(cmd.Context(), g, args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the job is paused, not when the pause is accepted")
	return cmd
}

func runPause(ctx context.Context, g *globals, name string, wait bool) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.pause(ctx, name)
	if err != nil {
		return err
	}
	if wait {
		err := c.watch(ctx, job.Uid, func(j *sslctlv1.Job) bool {
			job = j
			return j.State == sslctlv1.JobState_JOB_STATE_PAUSED || ended(j.State)
		})
		if err != nil {
			return err
		}
		if ended(job.State) {
			// It was nearly done, or failed on the way to the pause.
			return g.printEnd(job)
		}
	}
	return g.printChanged(job)
}
