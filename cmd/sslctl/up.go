package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type upOptions struct {
	set          []string
	workers      int
	coordinators int
	dir          string
	nats         []string
	export       string
	httpListen   string
	pprof        bool
}

func newUpCommand(g *globals) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up FILE",
		Short: "Run a job on a cluster of its own, in this process",
		Long: `Starts coordinators (each with an embedded NATS server, clustered) and workers in this process, hands them the job, follows it to its end,
prints a table or an object (-o), exports the encoder, and stops everything in order. An interrupt pauses the job with a checkpoint first; a
second one ends the process at once.

Each run has a folder of its own below --dir for the coordinators' state and the log. Its name is also appended to the job's checkpoint.uri, so
that runs do not meet in each other's checkpoints. An interrupt stores a last checkpoint; the next run begins anew all the same. Relative file:// URIs are taken as relative to the current folder.

` + exitHelp,
		Example: "  sslctl up examples/fashion-moco.yaml --workers 3 --set spec.training.epochs=1 -o json",
		Args:    arguments(1, 1, "the job file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return runUp(cmd.Context(), g, args[0], o)
		},
	}
	f := cmd.Flags()
	addSetFlag(cmd, &o.set)
	f.IntVar(&o.workers, "workers", 2, "number of workers")
	f.IntVar(&o.coordinators, "coordinators", 3, "number of coordinators: 1, 3 or 5")
	f.StringVar(&o.dir, "dir", ".sslctl", "folder for the state of this and other runs")
	f.StringSliceVar(&o.nats, "nats", nil, "nats://host:port of external NATS servers, separated by commas (default: embedded ones)")
	f.StringVar(&o.export, "export", "", "file for the trained encoder, as safetensors")
	addHTTPFlag(cmd, &o.httpListen)
	addPprofFlag(cmd, &o.pprof, "--http-listen")
	return cmd
}

func (o upOptions) check(cmd *cobra.Command) error {
	if o.workers < 1 || o.workers > 64 {
		return &usageError{fmt.Sprintf("--workers is %d; expected 1 to 64", o.workers), cmd.CommandPath()}
	}
	if o.coordinators != 1 && o.coordinators != 3 && o.coordinators != 5 {
		return &usageError{fmt.Sprintf("--coordinators is %d; expected 1, 3 or 5", o.coordinators), cmd.CommandPath()}
	}
	return nil
}

func runUp(ctx context.Context, g *globals, file string, o upOptions) error {
	job, err := g.readJob(file, o.set)
	if err != nil {
		return err
	}
	if job.Spec.Workers.Min > o.workers {
		return &inputError{fmt.Errorf("the job needs %d workers (spec.workers.min), --workers is %d; it would wait for ever", job.Spec.Workers.Min, o.workers)}
	}
	if err := checkExport(o.export); err != nil {
		return err
	}
	run := "run-" + time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:4])
	dir := filepath.Join(o.dir, run)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &inputError{fmt.Errorf("making the folder of this run: %w; name another --dir", err)}
	}
	job.Spec.Checkpoint.URI = strings.TrimRight(job.Spec.Checkpoint.URI, "/") + "/" + run

	group, err := g.startGroup(dir, o)
	if err != nil {
		return err
	}
	// The group outlives ctx, so that an interrupt can pause the job first.
	last, err := g.runOn(ctx, group, job, o)
	if stopErr := group.stop(); last != nil {
		err = errors.Join(g.printEnd(last), err, stopErr)
	} else {
		err = errors.Join(err, stopErr)
	}
	if err != nil {
		fmt.Fprintf(g.err, "the log of this run is %s\n", group.logFile.Name())
	}
	return err
}

// runOn hands the job to the group, follows it and exports its encoder.
func (g *globals) runOn(ctx context.Context, group *group, job *jobspec.Job, o upOptions) (*sslctlv1.Job, error) {
	// What follows ends with the interrupt, or with the first part of the group that fails.
	ctx, cancel := group.until(ctx)
	defer cancel()
	c, err := newClient(group.addresses, g.timeout)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := group.awaitWorkers(ctx, c, o.workers); err != nil {
		return nil, err
	}
	accepted, err := c.submit(ctx, &sslctlv1.SubmitRequest{SpecYaml: job.YAML(), RequestId: rand.Text()})
	if err != nil {
		return nil, group.because(err)
	}
	last, err := g.follow(ctx, c, accepted.Uid)
	if err != nil {
		if group.failure() == nil && errors.Is(err, context.Canceled) {
			g.pauseInterrupted(c, accepted)
		}
		return nil, group.because(err)
	}
	if o.export != "" && last.State == sslctlv1.JobState_JOB_STATE_COMPLETED {
		if _, err := exportTo(ctx, last, o.export, nil); err != nil {
			// The job is complete all the same: its end is printed as well.
			return last, fmt.Errorf("%w; the encoder lies in %s as well", err, last.Exported)
		}
		last.Exported = o.export
	}
	return last, nil
}

// checkExport finds out before the training whether the encoder can be written after it.
func checkExport(file string) error {
	if file == "" {
		return nil
	}
	if s, err := os.Stat(file); err == nil && s.IsDir() {
		return &inputError{fmt.Errorf("--export %s is a folder; expected a file", file)}
	}
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	var probe *os.File
	if err == nil {
		probe, err = createBeside(file)
	}
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return &inputError{fmt.Errorf("--export %s cannot be written: %w; name a file in a folder that can", file, withoutPath(err))}
	}
	return nil
}

// withoutPath is the reason alone of an error about a temporary file.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && strings.HasPrefix(filepath.Base(at.Path), unfinishedPrefix) {
		return at.Err
	}
	return err
}

// pauseWithin is how long an interrupt waits for the step in flight and a checkpoint.
const pauseWithin = 30 * time.Second

// pauseInterrupted stops the job at a step boundary, so that nothing that was trained is lost.
func (g *globals) pauseInterrupted(c *client, job *sslctlv1.Job) {
	ctx, cancel := context.WithTimeout(context.Background(), pauseWithin)
	defer cancel()
	fmt.Fprintln(g.err, "interrupted: pausing the job with a checkpoint; a second interrupt ends the process at once")
	if _, err := c.pause(ctx, job.Uid); err != nil {
		fmt.Fprintln(g.err, "sslctl:", err)
		return
	}
	last := job
	err := c.watch(ctx, job.Uid, func(j *sslctlv1.Job) bool {
		last = j
		return j.State == sslctlv1.JobState_JOB_STATE_PAUSED || ended(j.State)
	})
	if err != nil {
		fmt.Fprintln(g.err, "sslctl:", err)
		return
	}
	printCheckpoint(g.err, last)
	if !ended(last.State) {
		fmt.Fprintln(g.err, "sslctl up does not go on from there: the next run begins anew; jobs that are to be resumed are for sslctl coordinator, worker and submit")
	}
}

func printCheckpoint(w io.Writer, j *sslctlv1.Job) {
	if n := len(j.Checkpoints); n > 0 {
		fmt.Fprintf(w, "%s at step %s; its checkpoint is %s\n", stateName(j.State), outOf(j.Step, j.StepsTotal), j.Checkpoints[n-1].Uri)
		return
	}
	fmt.Fprintf(w, "%s at step %s, before the first checkpoint\n", stateName(j.State), outOf(j.Step, j.StepsTotal))
}
