package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// startTestGroup starts a cluster in this process, which ends with the test, as do the context and the client.
func startTestGroup(t *testing.T, workers, coordinators int) (context.Context, *group, *client) {
	t.Helper()
	g := &globals{err: new(bytes.Buffer), timeout: 10 * time.Second, logFormat: "console"}
	g.screen = &screen{w: g.err}
	gr, err := g.startGroup(t.TempDir(), upOptions{workers: workers, coordinators: coordinators})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := gr.stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := newClient(gr.addresses, g.timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	if err := gr.awaitWorkers(ctx, c, workers); err != nil {
		t.Fatal(err)
	}
	return ctx, gr, c
}

// submitTiny submits the job of tinyJob, changed.
func submitTiny(ctx context.Context, t *testing.T, c *client, epochs string, change func(*jobspec.Job)) *sslctlv1.Job {
	t.Helper()
	_, file := tinyJob(t, epochs)
	job, err := new(globals).readJob(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	change(job)
	accepted, err := c.submit(ctx, &sslctlv1.SubmitRequest{SpecYaml: job.YAML()})
	if err != nil {
		t.Fatal(err)
	}
	return accepted
}

// every sets how many steps there are between checkpoints.
func every(steps int) func(*jobspec.Job) {
	return func(j *jobspec.Job) { j.Spec.Checkpoint.EverySteps = steps }
}

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value adds up the series that have all of these labels (name, value, …): a histogram's count.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) (sum float64, series int) {
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		matches := true
		for i := 0; i < len(labels); i += 2 {
			matches = matches && has[labels[i]] == labels[i+1]
		}
		if matches {
			series++
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, series
}

// TestMetricsOfAJob scrapes a coordinator with two workers while a job runs and after its end: what a dashboard needs is there, and goes.
func TestMetricsOfAJob(t *testing.T) {
	ctx, gr, c := startTestGroup(t, 2, 1)
	accepted := submitTiny(ctx, t, c, "1000000", every(10))
	follow := func(done func(*sslctlv1.Job) bool) {
		t.Helper()
		if err := c.watch(ctx, accepted.Uid, done); err != nil {
			t.Fatal(err)
		}
	}
	follow(func(j *sslctlv1.Job) bool { return len(j.Checkpoints) > 0 || ended(j.State) })
	before := scrape(t, gr.addresses[0])
	least := func(name string, least float64, series int, labels ...string) {
		t.Helper()
		if v, n := value(before, name, labels...); v < least || n != series {
			t.Errorf("%s%v is %v in %d series, expected at least %v in %d", name, labels, v, n, least, series)
		}
	}
	of := func(labels ...string) []string { return append(labels, "job_uid", accepted.Uid, "job_name", "tiny") }
	for _, phase := range []string{"data", "commit", "forward", "backward", "bank", "communication", "update"} {
		least("sslctl_job_step_seconds", 20, 2, of("phase", phase)...)
	}
	least("sslctl_job_steps_total", 10, 1, of("worker", "worker-1")...)
	least("sslctl_job_samples_total", 40, 2, of()...)
	least("sslctl_job_loss", 0.001, 2, of()...)
	least("sslctl_job_bank_bytes", 16*8*4, 2, of()...)
	least("sslctl_ring_sent_bytes_total", 1000, 2, of()...)
	least("sslctl_ring_received_bytes_total", 1000, 2, of()...)
	least("sslctl_ring_rejected_frames_total", 0, 2, of("cause", "stale")...)
	least("sslctl_checkpoint_seconds", 1, 2, of("operation", "write")...)
	least("sslctl_checkpoint_bytes_total", 1000, 2, of("operation", "write")...)
	least("sslctl_worker_registered", 2, 2)
	least("sslctl_worker_heartbeats_total", 2, 2, "result", "answered")
	least("sslctl_jobs", 1, 1, "state", "running")
	least("sslctl_workers", 2, 1, "state", "busy")
	least("sslctl_job_generations_total", 1, 1, of()...)
	least("sslctl_job_members", 2, 1, of()...)
	least("sslctl_job_committed_step", 10, 1, of()...)
	least("sslctl_raft_leader", 1, 1)
	least("sslctl_raft_applied_index", 5, 1)
	least("sslctl_raft_log_entries", 5, 1)
	least("sslctl_raft_commit_seconds", 5, 1)
	least("sslctl_api_request_seconds", 1, 1, "method", "JobService/Submit", "code", "ok")
	least("sslctl_coordinator_events_total", 1, 1, "reason", "Submitted")
	least("sslctl_planner_commands_total", 1, 1)
	least("sslctl_build_info", 1, 1)
	least("go_goroutines", 1, 1)

	if _, err := c.cancel(ctx, accepted.Uid); err != nil {
		t.Fatal(err)
	}
	follow(func(j *sslctlv1.Job) bool { return ended(j.State) })
	for { // the workers hear of it with their next heartbeats
		after, left := scrape(t, gr.addresses[0]), 0
		for name := range after {
			if strings.HasPrefix(name, "sslctl_") {
				_, n := value(after, name, "job_uid", accepted.Uid)
				left += n
			}
		}
		if _, n := value(after, "sslctl_jobs", "state", "cancelled"); left == 0 && n == 1 {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d series of the job that has ended are left", left)
		}
	}
}
