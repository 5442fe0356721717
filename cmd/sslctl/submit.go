package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type submitOptions struct {
	set       []string
	detach    bool
	requestID string
}

func newSubmitCommand(g *globals) *cobra.Command {
	var o submitOptions
	cmd := &cobra.Command{
		Use:   "submit FILE",
		Short: "Hand in a job and follow it to its end",
		Long: `Checks a job file ("-" is standard input), hands it to the coordinators and follows the job to its end. An interrupt ends the
following, not the job. Relative file:// URIs are taken as relative to the current folder.

` + exitHelp,
		Example: "  sslctl submit job.yaml --set spec.training.epochs=1 --detach",
		Args:    arguments(1, 1, "the job file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSubmit(cmd.Context(), g, args[0], o)
		},
	}
	addSetFlag(cmd, &o.set)
	cmd.Flags().BoolVar(&o.detach, "detach", false, "return as soon as the job is accepted")
	cmd.Flags().StringVar(&o.requestID, "request-id", "", "a submission with an id that was used before finds the first one (default: a new one)")
	return cmd
}

func runSubmit(ctx context.Context, g *globals, file string, o submitOptions) error {
	job, err := g.readJob(file, o.set)
	if err != nil {
		return err
	}
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	if o.requestID == "" {
		o.requestID = rand.Text()
	}
	accepted, err := c.submit(ctx, &sslctlv1.SubmitRequest{SpecYaml: job.YAML(), RequestId: o.requestID})
	if err != nil {
		return err
	}
	if o.detach {
		return g.print(reportJob(accepted), func(w io.Writer, wide bool) { jobTable(w, []*sslctlv1.Job{accepted}, wide) })
	}
	fmt.Fprintf(g.err, "job %s has uid %s\n", accepted.Name, accepted.Uid)
	last, err := g.follow(ctx, c, accepted.Uid)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(g.err, "the job goes on; sslctl status %s --watch follows it, sslctl cancel %s ends it\n", accepted.Uid, accepted.Uid)
	}
	if err != nil {
		return err
	}
	return g.printEnd(last)
}
