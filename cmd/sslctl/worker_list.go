package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func newWorkerListCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the workers: what each does, and what it can do",
		Long: `Lists the workers. Their states:

  free      it takes the next job that fits
  busy      it has a job
  cordoned  it has no job and gets none
  draining  its job is about to go on without it
  drained   its job goes on without it; it gets none
  leaving   its process shuts down
  lost      its process has fallen silent
  away      no process of this id has registered for long, but the id is cordoned`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runWorkerList(cmd.Context(), g)
		},
	}
}

func runWorkerList(ctx context.Context, g *globals) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	cluster, err := c.getCluster(ctx)
	if err != nil {
		return err
	}
	return g.print(reportWorkers(cluster.Workers), func(w io.Writer, wide bool) { workerTable(w, cluster.Workers, wide) })
}
