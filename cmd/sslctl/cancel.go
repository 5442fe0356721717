package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newCancelCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel JOB",
		Short: "End a job now; its checkpoints stay",
		Args:  arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCancel(cmd.Context(), g, args[0])
		},
	}
}

func runCancel(ctx context.Context, g *globals, name string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.cancel(ctx, name)
	if err != nil {
		return err
	}
	return g.printChanged(job)
}

// printChanged prints a job whose state was changed by a verb.
func (g *globals) printChanged(job *sslctlv1.Job) error {
	return g.print(reportJob(job), func(w io.Writer, wide bool) { jobTable(w, []*sslctlv1.Job{job}, wide) })
}
