package main

import (
	"context"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newWorkerCordonCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cordon WORKER",
		Short: "Give a worker no new work; what it does now goes on",
		Long: `Gives a worker no new work, until "sslctl worker uncordon". It holds for the worker's id: a process that is restarted under it stays cordoned.
The job that it has now keeps it.`,
		Args: arguments(1, 1, "the worker's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.changeWorker(cmd.Context(), func(ctx context.Context, c *client) (*sslctlv1.Worker, error) { return c.cordon(ctx, args[0], false) })
		},
	}
}

func newWorkerUncordonCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "uncordon WORKER",
		Short: "Give a worker work again, after cordon or drain",
		Args:  arguments(1, 1, "the worker's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.changeWorker(cmd.Context(), func(ctx context.Context, c *client) (*sslctlv1.Worker, error) { return c.uncordon(ctx, args[0]) })
		},
	}
}

// changeWorker does one thing to a worker and prints it.
func (g *globals) changeWorker(ctx context.Context, change func(context.Context, *client) (*sslctlv1.Worker, error)) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	w, err := change(ctx, c)
	if err != nil {
		return err
	}
	return g.printWorker(w)
}

func (g *globals) printWorker(x *sslctlv1.Worker) error {
	return g.print(reportWorker(x), func(w io.Writer, wide bool) { workerTable(w, []*sslctlv1.Worker{x}, wide) })
}

func (c *client) cordon(ctx context.Context, worker string, drain bool) (*sslctlv1.Worker, error) {
	doing := "cordoning worker "
	if drain {
		doing = "draining worker "
	}
	m, err := call(ctx, c, doing+worker, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.CordonWorkerResponse], error) {
		return e.cluster.CordonWorker(ctx, connect.NewRequest(&sslctlv1.CordonWorkerRequest{WorkerId: worker, Drain: drain}))
	})
	return m.GetWorker(), err
}

func (c *client) uncordon(ctx context.Context, worker string) (*sslctlv1.Worker, error) {
	m, err := call(ctx, c, "uncordoning worker "+worker, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.UncordonWorkerResponse], error) {
		return e.cluster.UncordonWorker(ctx, connect.NewRequest(&sslctlv1.UncordonWorkerRequest{WorkerId: worker}))
	})
	return m.GetWorker(), err
}
