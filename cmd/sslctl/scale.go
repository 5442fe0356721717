package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type scaleOptions struct{ least, most int }

func newScaleCommand(g *globals) *cobra.Command {
	var o scaleOptions
	cmd := &cobra.Command{
		Use:   "scale JOB",
		Short: "Change how many workers a job has at least and at most",
		Long: `Changes spec.workers.min and max of a job that has not ended. A running job that has too few or too many workers then, or could have more at
once, stores a checkpoint at the next step boundary and goes on with the new number: no step is repeated, and the result does not change. If
there are too few for --min, it waits for them. Workers that come later do not join by themselves; scale again to take them.`,
		Example: "  sslctl scale photos --max 8",
		Args:    arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return runScale(cmd.Context(), g, args[0], o)
		},
	}
	cmd.Flags().IntVar(&o.least, "min", 0, "the job needs so many workers (default: as it is)")
	cmd.Flags().IntVar(&o.most, "max", 0, "the job takes no more than so many workers (default: as it is)")
	return cmd
}

// check refuses what is wrong for any job.
func (o scaleOptions) check(cmd *cobra.Command) error {
	problem := ""
	switch f := cmd.Flags(); {
	case !f.Changed("min") && !f.Changed("max"):
		problem = "--min or --max is missing"
	case f.Changed("min") && o.least < 1:
		problem = fmt.Sprintf("--min is %d; expected at least 1", o.least)
	case f.Changed("max") && o.most < 1:
		problem = fmt.Sprintf("--max is %d; expected at least 1 (sslctl pause stops a job)", o.most)
	case f.Changed("min") && f.Changed("max") && o.least > o.most:
		problem = fmt.Sprintf("--min is %d, more than --max, which is %d", o.least, o.most)
	default:
		return nil
	}
	return &usageError{problem, cmd.CommandPath()}
}

func runScale(ctx context.Context, g *globals, name string, o scaleOptions) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.scale(ctx, &sslctlv1.ScaleRequest{Job: name, WorkersMin: uint32(o.least), WorkersMax: uint32(o.most)})
	if err != nil {
		return err
	}
	if n := len(job.Members); job.State == sslctlv1.JobState_JOB_STATE_RUNNING && n < int(job.WorkersMax) && job.Reason == "" {
		fmt.Fprintf(g.err, "job %s goes on with its %s: no other can take it now (sslctl explain %s says why)\n", job.Name, counted(n, "worker"), job.Name)
	}
	return g.printChanged(job)
}

func (c *client) scale(ctx context.Context, r *sslctlv1.ScaleRequest) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "scaling job "+r.Job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ScaleResponse], error) {
		return e.jobs.Scale(ctx, connect.NewRequest(r))
	})
	return m.GetJob(), err
}
