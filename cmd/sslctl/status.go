package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type statusOptions struct {
	watch  bool
	ledger bool
}

func newStatusCommand(g *globals) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [JOB]",
		Short: "Show a job, or the cluster with its coordinators, workers and jobs",
		Long: `Shows one job, or without JOB the coordinators, the workers and all jobs. -o wide adds a job's members (virtual ranks, bank shards and
their memory, samples, bytes sent on the ring), the slices of the data shards that each reads, and the task's metrics.`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return runStatus(cmd.Context(), g, name, o)
		},
	}
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "show each change until the job ends or an interrupt; one line of JSON each with -o json")
	cmd.Flags().BoolVar(&o.ledger, "ledger", false, "add the ledger: the digest after each run of steps")
	return cmd
}

func runStatus(ctx context.Context, g *globals, name string, o statusOptions) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	print := printer(g.print)
	if o.watch {
		print = (&refresher{g: g}).print
	}
	show := func() (done bool, err error) { return showCluster(ctx, c, print) }
	if name != "" {
		show = func() (bool, error) { return showJob(ctx, g, c, name, o, print) }
	}
	for {
		done, err := show()
		switch {
		case !o.watch:
			return err
		case errors.Is(err, errUnreachable):
			fmt.Fprintln(g.err, "sslctl:", err)
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // an interrupt is how watching ends
		case <-time.After(time.Second):
		}
	}
}

// printer is print of globals, or of what refreshes.
type printer func(v any, table func(w io.Writer, wide bool)) error

// showJob prints one job once.
func showJob(ctx context.Context, g *globals, c *client, name string, o statusOptions, print printer) (done bool, err error) {
	job, err := c.get(ctx, &sslctlv1.GetRequest{Job: name, Wide: g.output != "table", Ledger: o.ledger})
	if err != nil {
		return false, err
	}
	err = print(reportJob(job), func(w io.Writer, wide bool) { jobDetail(w, job, wide || o.ledger) })
	return ended(job.State), err
}

// showCluster prints the cluster once.
func showCluster(ctx context.Context, c *client, print printer) (done bool, err error) {
	cluster, err := c.getCluster(ctx)
	if err != nil {
		return false, err
	}
	jobs, err := c.list(ctx)
	if err != nil {
		return false, err
	}
	return false, print(reportCluster(cluster, jobs), func(w io.Writer, wide bool) { clusterTable(w, cluster, jobs, wide) })
}
