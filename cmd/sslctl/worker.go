package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/worker"
)

type workerOptions struct {
	id          string
	labels      map[string]string
	httpListen  string
	pprof       bool
	drainWithin time.Duration
	ringListen  string
	ringHost    string
}

func newWorkerCommand(g *globals) *cobra.Command {
	var o workerOptions
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker",
		Long: `Runs a worker until an interrupt or SIGTERM: it registers with the coordinators at --addr and takes part in the jobs that they give it. It
uses all cores that GOMAXPROCS allows.

When it is to stop, it takes no more work, and its job stores a checkpoint at the next step boundary and goes on without it, so that no step is
repeated. What is not done within --drain-within is cut short; a second signal ends the process at once.

The workers of a job send gradients straight to each other. What --ring-listen and --ring-host cannot provide for, behind address translation say,
goes over the NATS servers of the cluster instead, which is slower; the log says so.

A job refers to S3 credentials by name. This worker finds those of NAME in the files accessKey and secretKey of $` + jobspec.SecretsDir + `/NAME,
or in SSLCTL_SECRET_NAME_ACCESS_KEY and SSLCTL_SECRET_NAME_SECRET_KEY.

With --http-listen, it serves Prometheus metrics at /metrics, and the health checks /healthz (the process works) and /readyz (it is registered
and a coordinator answers it; else the reason).`,
		Example: "  sslctl worker --addr 10.0.0.1:7600,10.0.0.2:7600,10.0.0.3:7600 --label rack=4",
		Args:    unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runWorker(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.id, "id", hostname(), "name of this worker, unique in the cluster and the same at each start")
	f.StringToStringVar(&o.labels, "label", nil, "key=value that a job's spec.workers.selector can ask for (repeatable)")
	f.Lookup("label").DefValue = "" // an empty map's "[]" says nothing
	f.DurationVar(&o.drainWithin, "drain-within", time.Minute, "how long the job may take to store a checkpoint and go on without this worker when it is stopped")
	f.StringVar(&o.ringListen, "ring-listen", ":0", "host:port where the other workers of a job connect to this one; port 0 is any free one")
	f.StringVar(&o.ringHost, "ring-host", "", "host that they dial (default: the one that the NATS server sees this worker at)")
	addHTTPFlag(cmd, &o.httpListen)
	addPprofFlag(cmd, &o.pprof, "--http-listen")
	cmd.AddCommand(newWorkerListCommand(g), newWorkerCordonCommand(g), newWorkerDrainCommand(g), newWorkerUncordonCommand(g))
	return cmd
}

func runWorker(ctx context.Context, g *globals, o workerOptions) error {
	log, err := g.logger("info")
	if err != nil {
		return err
	}
	if _, err := g.connect(); err != nil { // checks the addresses
		return err
	}
	if o.drainWithin < 0 {
		return &usageError{fmt.Sprintf("--drain-within is %v; expected 0s or more", o.drainWithin), "sslctl worker"}
	}
	registry, err := telemetry.NewRegistry(version)
	if err != nil {
		return err
	}
	readiness := new(telemetry.Readiness)
	stop, err := serveHTTP(o.httpListen, registry, readiness.Ready, o.pprof, log.With(telemetry.Worker(o.id)))
	if err != nil {
		return fmt.Errorf("starting worker %s: %w", o.id, err)
	}
	defer stop()
	return worker.Run(ctx, worker.Config{
		ID: o.id, Coordinators: g.addresses, Labels: o.labels, Version: version, DrainWithin: o.drainWithin, Logger: log, Registry: registry, Readiness: readiness,
		RingListen: o.ringListen, RingHost: o.ringHost,
	})
}
