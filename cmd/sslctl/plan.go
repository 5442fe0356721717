package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/worker"
)

type planOptions struct {
	set     []string
	workers int
	probe   bool
	offline bool
}

// errChanges says that a plan has found something that submitting would change. It is an answer, not a message.
var errChanges = errors.New("submitting the job would change something")

func newPlanCommand(g *globals) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Tell what a job would get, read, hold, send and take, without submitting it",
		Long: `Checks a job file ("-" is standard input) and tells, before anything is submitted: what differs from a job of its name, which workers it would
get now and why not the others, how its data set fills steps, what is read from the stores, what each worker holds and sends around the ring,
and how long it will take. Nothing is changed.

The data set is read by this process (once whole, unless a job of the same name has indexed it), which needs the credentials that the job refers
to, as workers do. A probe runs some of the job's first steps here, for at most a few seconds, as the worker with most virtual ranks: its
times are those of this machine, without the network; without it (--probe=false), times and bytes of the ring are not told.

Exit codes:
  0    a job of this name has not ended and is the same
  1    submitting it would change something (or something failed while running: then standard error says what)
  2 to 6, 130 as for all commands; with --offline, which asks no coordinator and compares nothing, 0 is success`,
		Example: "  sslctl plan job.yaml --workers 4 -o json",
		Args:    arguments(1, 1, "the job file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.workers < 0 || o.workers > 64 {
				return &usageError{fmt.Sprintf("--workers is %d; expected 1 to 64", o.workers), cmd.CommandPath()}
			}
			return runPlan(cmd.Context(), g, args[0], o)
		},
	}
	addSetFlag(cmd, &o.set)
	f := cmd.Flags()
	f.IntVar(&o.workers, "workers", 0, "foretell for so many workers (default: those that the job would get now, or else spec.workers.min)")
	f.BoolVar(&o.probe, "probe", true, "run some steps to measure them")
	f.BoolVar(&o.offline, "offline", false, "ask no coordinator: no placement, no comparison")
	return cmd
}

func runPlan(ctx context.Context, g *globals, file string, o planOptions) error {
	job, err := g.readJob(file, o.set)
	if err != nil {
		return err
	}
	v := job.Spec.Training.VirtualRanks
	if o.workers > v {
		return &inputError{fmt.Errorf("--workers is %d, the job has %d virtual ranks (spec.training.virtualRanks); more workers would be spares", o.workers, v)}
	}
	r := planReport{Job: job.Metadata.Name, Action: planOffline}
	if !o.offline {
		if err := g.preview(ctx, job, &r); err != nil {
			return err
		}
	}
	r.Workers = o.workers
	if r.Workers == 0 {
		r.Workers = max(len(r.members), job.Spec.Workers.Min)
	}
	count := newCounter(g.err, "indexing", "shards")
	r.Estimate, err = worker.Plan(ctx, job, worker.PlanOptions{Starts: cut(v, r.Workers), UID: r.UID, Probe: o.probe, Progress: count.update})
	count.close()
	if err != nil {
		return err
	}
	if p := r.Estimate.Probe; p != nil {
		r.Seconds = number(p.StepSeconds * float64(r.Estimate.Steps))
		r.Machine = &machineReport{hostname(), runtime.NumCPU(), worker.Numerics()}
	}
	if err := g.print(r, r.table); err != nil {
		return err
	}
	if r.Action == planCreate || r.Action == planConflict {
		return errChanges
	}
	return nil
}

// cut gives each of w workers its virtual ranks, as the coordinators do.
func cut(v, w int) []int {
	starts := []int{0}
	for r := range w {
		_, hi := state.Ownership(r, w, v)
		starts = append(starts, hi)
	}
	return starts
}

// preview asks the coordinators what they would do with the job.
func (g *globals) preview(ctx context.Context, job *jobspec.Job, r *planReport) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	m, err := call(ctx, c, "asking what the job would get", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.PreviewResponse], error) {
		return e.jobs.Preview(ctx, connect.NewRequest(&sslctlv1.PreviewRequest{SpecYaml: job.YAML()}))
	})
	if err != nil {
		return err
	}
	r.Action, r.members = planCreate, m.Members
	if m.Existing != nil {
		r.UID, r.State = m.Existing.Uid, stateName(m.Existing.State)
		if r.Differences, err = differences(m.Existing.SpecYaml, job.YAML()); err != nil {
			return err
		}
		if !ended(m.Existing.State) {
			r.Action, r.members = planNone, m.Existing.Members
			if len(r.Differences) > 0 {
				r.Action = planConflict
			}
			return nil
		}
	}
	r.Placement = &placementReport{Needs: m.Needs, Waits: m.Reason, Workers: []verdictReport{}}
	for _, v := range m.Workers {
		r.Placement.Workers = append(r.Placement.Workers, verdictReport{v.WorkerId, v.TakesPart, v.Can, v.Why})
	}
	return nil
}

// duration is Seconds as people read it.
func (r planReport) duration() string {
	return durationText(time.Duration(float64(r.Seconds) * float64(time.Second)))
}
