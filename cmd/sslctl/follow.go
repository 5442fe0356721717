package main

import (
	"context"
	"fmt"
	"io"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// follow shows the job's progress until it ends, and returns it as it ended.
func (g *globals) follow(ctx context.Context, c *client, uid string) (*sslctlv1.Job, error) {
	p := newProgress(g.screen)
	defer p.close()
	var last *sslctlv1.Job
	err := c.watch(ctx, uid, func(j *sslctlv1.Job) bool {
		last = j
		p.update(j)
		return ended(j.State)
	})
	if err != nil {
		return nil, err
	}
	// The stream leaves out who read what. A coordinator that cannot say any more is no reason to lose the rest.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if whole, err := c.get(ctx, &sslctlv1.GetRequest{Job: uid, Wide: true}); err == nil {
		last = whole
	}
	return last, nil
}

// printEnd prints a job that has ended, and returns an error unless it completed.
func (g *globals) printEnd(j *sslctlv1.Job) error {
	report, completed := reportJob(j), j.State == sslctlv1.JobState_JOB_STATE_COMPLETED
	err := g.print(report, func(w io.Writer, wide bool) {
		if !completed {
			j.Reason = "" // the error below has it
		}
		jobSummary(w, j, wide)
	})
	if err == nil && !completed {
		err = &jobEndedError{report.Job, report.State, report.Reason}
	}
	return err
}

// jobSummary is the table at the end of a job.
func jobSummary(w io.Writer, j *sslctlv1.Job, wide bool) {
	jobDetail(w, j, wide)
	if curve := evaluationCurve(j); len(curve) > 2 {
		fmt.Fprintln(w)
		columns(w, curve)
	}
}

// evaluationCurve is the main measures at each evaluation.
func evaluationCurve(j *sslctlv1.Job) [][]string {
	rows := [][]string{{"EPOCH", "STEP", "LOSS", "KNN", "LINEAR"}}
	for _, e := range j.Evaluations {
		cell := func(name string) string {
			if v, ok := e.Values[name]; ok {
				return fmt.Sprintf("%.4f", v)
			}
			return ""
		}
		loss := ""
		n := int(e.Epoch + 0.001)
		if e.Step == j.StepsTotal { // the last epoch may be short of some samples
			n = len(j.EpochLosses)
		}
		if n >= 1 && n <= len(j.EpochLosses) {
			loss = fmt.Sprintf("%.4f", j.EpochLosses[n-1])
		}
		rows = append(rows, []string{fmt.Sprintf("%.2f", e.Epoch), fmt.Sprint(e.Step), loss, cell("knn.top1"), cell("linear.top1")})
	}
	return rows
}
