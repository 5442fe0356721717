package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/internal/telemetry"
)

const preamble = `<!-- Generated from internal/telemetry by "go generate ./internal/telemetry". Do not edit. -->

# Metrics

Every coordinator serves Prometheus metrics at ` + "`/metrics`" + ` of its one port; a worker does with ` + "`--http-listen HOST:PORT`" + `, and so does
` + "`sslctl up`" + ` for all that runs in it. The same ports have the health checks ` + "`/healthz`" + ` (the process works) and ` + "`/readyz`" + ` (it can be used; if
not, the body says why), and with ` + "`--pprof`" + ` also Go's profiles at ` + "`/debug/pprof`" + `.

A job is named by two labels: ` + "`job_uid`" + ` is never reused, ` + "`job_name`" + ` is what people read. (Prometheus itself owns the label ` + "`job`" + `.) A worker
shows a job's series while it takes part in the job, a leading coordinator until the job has ended; then they disappear. A worker's counters go
on over the generations of a job and begin at 0 when it takes part again after a pause. The phases of ` + "`sslctl_job_step_seconds`" + ` divide a
step without a gap, so the sum of their rates by the rate of ` + "`sslctl_job_steps_total`" + ` is the time of a step.

Rules for alerts, each with what to do, are in ` + "`deploy/prometheus/alerts.yaml`" + `. Besides, every process shows what Go's runtime (` + "`go_*`" + `) and the operating system (` + "`process_*`" + `) tell of it.
`

// Reference is docs/metrics.md.
func Reference() []byte {
	b := bytes.NewBufferString(preamble)
	sections := map[string][]telemetry.Definition{}
	var titles []string
	for _, d := range telemetry.Definitions() {
		if sections[d.Process.Name] == nil {
			titles = append(titles, d.Process.Name)
		}
		sections[d.Process.Name] = append(sections[d.Process.Name], d)
	}
	slices.Sort(titles)
	for _, title := range titles {
		definitions := sections[title]
		fmt.Fprintf(b, "\n## %s\n\n", strings.ToUpper(title[:1])+title[1:])
		if labels := definitions[0].Process.Labels; len(labels) > 0 {
			fmt.Fprintf(b, "Labels of all: %s.\n\n", code(labels))
		}
		fmt.Fprintf(b, "| metric | type | unit | more labels | meaning |\n|---|---|---|---|---|\n")
		for _, d := range definitions {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, d.Unit, code(d.Labels), d.Help)
		}
	}
	return b.Bytes()
}

func code(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + n + "`"
	}
	return strings.Join(quoted, ", ")
}
