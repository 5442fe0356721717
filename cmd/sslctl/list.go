package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func newListCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all jobs",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), g)
		},
	}
}

func runList(ctx context.Context, g *globals) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	jobs, err := c.list(ctx)
	if err != nil {
		return err
	}
	reports := make([]jobReport, len(jobs))
	for i, j := range jobs {
		reports[i] = reportJob(j)
	}
	return g.print(reports, func(w io.Writer, wide bool) { jobTable(w, jobs, wide) })
}
