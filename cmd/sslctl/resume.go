package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newResumeCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "resume JOB",
		Short: "Continue a paused or failed job from its checkpoint",
		Long: `Lets a paused job go on from its checkpoint, on any number of workers, with the same bits. A job that has failed goes on from its newest
checkpoint, or from the start if it has none: mend first what its reason names.`,
		Args: arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runResume(cmd.Context(), g, args[0])
		},
	}
}

func runResume(ctx context.Context, g *globals, name string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.resume(ctx, name)
	if err != nil {
		return err
	}
	return g.printChanged(job)
}
