package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/worker"
)

// errViolated is returned when an audit has found something wrong.
var errViolated = errors.New("the audit has found violations")

func newAuditCommand(g *globals) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "audit JOB",
		Short: "Prove from ledger, data and checkpoints that a job used every sample as it should",
		Long: `Replays a job by arithmetic. For the steps that the ledger says are committed, it looks up which sample stood at each position, and proves that
every position was used once, and in each epoch every sample once but for the tail that fills no batch. It names the samples that were
replaced because they cannot be decoded, computes the digest of each checkpoint again from its files and compares it with the ledger, and lists
the generations with why they began.

The data set's index and the checkpoints are read by this process, which needs the credentials that the job refers to. Of a job that has not
ended, the newest checkpoint is read.

Exit codes are those of all commands; 1 if something is wrong with the job.`,
		Args: arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error { return runAudit(cmd.Context(), g, args[0], deep) },
	}
	cmd.Flags().BoolVar(&deep, "verify-checkpoints", true, "read the files of the checkpoints and compute their digests; else only their manifests")
	return cmd
}

// auditReport is an audit as -o json and -o yaml show it.
type auditReport struct {
	Job         string             `json:"job"`
	UID         string             `json:"uid"`
	State       string             `json:"state"`
	Clean       bool               `json:"clean"`
	Digest      string             `json:"digest"`
	Generations []generationReport `json:"generations"`
	Repeated    uint64             `json:"stepsRepeated"`
	Skipped     uint64             `json:"stepsSkipped"`
	*worker.Audit
}

// generationReport is one membership of a job: what the ledger kept of it, and why it began or ended, as far as the events reach back.
type generationReport struct {
	Generation uint64   `json:"generation"`
	FirstStep  uint64   `json:"firstStep"` // the first step of it that the ledger keeps; 0: none
	LastStep   uint64   `json:"lastStep"`
	Events     []string `json:"events"`
}

func runAudit(ctx context.Context, g *globals, name string, deep bool) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.get(ctx, &sslctlv1.GetRequest{Job: name, Ledger: true})
	if err != nil {
		return err
	}
	events, err := c.events(ctx, &sslctlv1.ListEventsRequest{Job: job.Uid})
	if err != nil {
		return err
	}
	count := newCounter(g.err, "indexing", "shards")
	audit, err := worker.AuditJob(ctx, job, worker.AuditOptions{Checkpoints: deep, Progress: count.update})
	count.close()
	if err != nil {
		return err
	}
	r := auditReport{
		Job: job.Name, UID: job.Uid, State: stateName(job.State), Clean: len(audit.Violations) == 0, Digest: job.Digest,
		Generations: generations(job, events), Repeated: job.StepsRepeated, Skipped: job.StepsSkipped, Audit: audit,
	}
	if err := g.print(r, r.table); err != nil {
		return err
	}
	if !r.Clean {
		return fmt.Errorf("%w: %d in job %s (uid %s)", errViolated, len(audit.Violations), r.Job, r.UID)
	}
	return nil
}

// lifeOfGeneration are the events that tell why a generation began or ended.
var lifeOfGeneration = []string{"Started", "Reformed", "Suspended", "Paused", "Restored", "Completed", "Failed", "Cancelled"}

// generations puts together what ledger and events say of each generation.
func generations(job *sslctlv1.Job, events []*sslctlv1.Event) []generationReport {
	list := []generationReport{}
	at := func(generation uint64) *generationReport {
		i, known := slices.BinarySearchFunc(list, generation, func(r generationReport, g uint64) int { return int(r.Generation) - int(g) })
		if !known {
			list = slices.Insert(list, i, generationReport{Generation: generation, Events: []string{}})
		}
		return &list[i]
	}
	for _, e := range job.Ledger {
		r := at(e.Generation)
		if r.FirstStep == 0 {
			r.FirstStep = e.FirstStep + 1
		}
		r.LastStep = e.LastStep
	}
	for _, e := range events {
		if e.Generation > 0 && slices.Contains(lifeOfGeneration, e.Reason) {
			r := at(e.Generation)
			r.Events = append(r.Events, e.Message)
		}
	}
	return list
}

// table writes the audit for people, the verdict last.
func (r auditReport) table(w io.Writer, _ bool) {
	rows := [][]string{
		{"steps", fmt.Sprintf("%d committed by %d entries of the ledger, %d repeated, %d skipped", r.Steps, r.Entries, r.Repeated, r.Skipped)},
		{"positions", fmt.Sprintf("%d used, %d left over at the end", r.Positions, r.Unused)},
	}
	for i := 0; i < len(r.Epochs); {
		e, last := r.Epochs[i], i
		for last+1 < len(r.Epochs) && r.Epochs[last+1].Used == e.Used {
			last++
		}
		name := fmt.Sprintf("epoch %d", e.Epoch)
		if last > i {
			name = fmt.Sprintf("epochs %d-%d", e.Epoch, r.Epochs[last].Epoch)
		}
		rows = append(rows, []string{name, fmt.Sprintf("%d of %d samples used, each once", e.Used, e.Of)})
		i = last + 1
	}
	for _, s := range r.Replaced {
		rows = append(rows, []string{"replaced", s})
	}
	for _, c := range r.Checkpoints {
		how := "manifest only"
		if c.Verified {
			how = "digest computed from its files is the ledger's"
		}
		rows = append(rows, []string{"checkpoint", fmt.Sprintf("step %d: %s", c.Step, how)})
	}
	for _, g := range r.Generations {
		name := fmt.Sprintf("generation %d", g.Generation)
		steps := "no step of it is in the ledger"
		if g.FirstStep > 0 {
			steps = fmt.Sprintf("steps %d to %d", g.FirstStep, g.LastStep)
		}
		rows = append(rows, []string{name, steps})
		for _, e := range g.Events {
			rows = append(rows, []string{" ", e})
		}
	}
	for _, v := range r.Violations {
		rows = append(rows, []string{"VIOLATION", v})
	}
	columns(w, rows)
	verdict := "clean"
	if !r.Clean {
		verdict = fmt.Sprintf("%d violations", len(r.Violations))
	}
	fmt.Fprintf(w, "\naudit of %s (uid %s): %s\n", r.Job, r.UID, verdict)
}
