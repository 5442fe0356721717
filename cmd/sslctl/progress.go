package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"golang.org/x/term"
)

// progress shows how a job that is followed comes along.
type progress interface {
	update(*sslctlv1.Job)
	close()
}

// newProgress draws a bar on a terminal, and writes lines elsewhere.
func newProgress(w io.Writer) progress {
	if width, ok := terminalWidth(w); ok {
		return &barProgress{w: w, width: width}
	}
	return &lineProgress{w: w}
}

// terminalWidth tells whether w is a terminal, and how wide.
func terminalWidth(w io.Writer) (int, bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// eta estimates what is left from the steps that were seen to be done, so that pauses for evaluation count as well.
type eta struct {
	since     time.Time
	firstStep uint64
}

func (e *eta) left(j *sslctlv1.Job) (time.Duration, bool) {
	if j.State != sslctlv1.JobState_JOB_STATE_RUNNING || j.StepsTotal == 0 {
		return 0, false
	}
	if e.since.IsZero() || j.Step < e.firstStep {
		e.since, e.firstStep = time.Now(), j.Step
	}
	done := j.Step - e.firstStep
	if done == 0 || j.Step > j.StepsTotal {
		return 0, false
	}
	return time.Duration(float64(time.Since(e.since)) / float64(done) * float64(j.StepsTotal-j.Step)), true
}

// headline is a job in one line: what it does now, or where it is.
func headline(j *sslctlv1.Job, e *eta) string {
	left, known := e.left(j)
	if j.State != sslctlv1.JobState_JOB_STATE_RUNNING {
		text := stateName(j.State)
		if j.Reason != "" {
			text += ": " + j.Reason
		}
		return text
	}
	parts := []string{"epoch " + epochText(j)}
	if j.SamplesPerSecond > 0 {
		parts = append(parts, rateText(j.SamplesPerSecond)+" samples/s")
	}
	if j.Step > 0 {
		parts = append(parts, "loss "+lossText(j))
	}
	if known {
		parts = append(parts, "ETA "+durationText(left))
	}
	if doing := activity(j); doing != "" {
		parts = append(parts, doing)
	}
	return strings.Join(parts, "  ")
}

// activity is what a member does beside stepping, or waits for.
func activity(j *sslctlv1.Job) string {
	for _, m := range j.Members {
		switch {
		case m.Reason != "":
			return m.Reason
		case m.Phase == "evaluating" || m.Phase == "checkpointing":
			return m.Phase
		}
	}
	return ""
}

// evaluationLine is an evaluation in one line.
func evaluationLine(e *sslctlv1.Evaluation) string {
	var parts []string
	for _, name := range []string{"knn.top1", "linear.top1", "untrained.knn.top1", "untrained.linear.top1", "rawPixel.knn.top1", "rawPixel.linear.top1"} {
		if v, ok := e.Values[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %.4f", name, v))
		}
	}
	return fmt.Sprintf("evaluated at step %d (epoch %.2f): %s", e.Step, e.Epoch, strings.Join(parts, "  "))
}

// barProgress redraws one line, and prints finished evaluations above it.
type barProgress struct {
	w           io.Writer
	width       int
	bar         *progressbar.ProgressBar
	total       uint64
	evaluations int
	eta         eta
}

func (p *barProgress) update(j *sslctlv1.Job) {
	for ; p.evaluations < len(j.Evaluations); p.evaluations++ {
		p.clear()
		fmt.Fprintln(p.w, evaluationLine(j.Evaluations[p.evaluations]))
	}
	if p.bar == nil || p.total != j.StepsTotal {
		p.clear()
		p.total = j.StepsTotal
		total := int64(j.StepsTotal)
		if total == 0 {
			total = -1 // a spinner until the data is indexed
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(max(10, min(30, p.width-80))), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetMaxDetailRow(0),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSpinnerType(14))
	}
	p.bar.Describe(j.Name + "  " + headline(j, &p.eta))
	if p.total > 0 {
		// The bar ends itself at its maximum and would then not redraw; the end is drawn by the table.
		_ = p.bar.Set64(int64(min(j.Step, p.total)))
	} else {
		_ = p.bar.Add(0)
	}
}

func (p *barProgress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear() // a terminal that does not take the line is no reason to stop following
	}
}

func (p *barProgress) close() {
	p.clear()
	p.bar = nil
}

// lineEvery is the least time between two lines about the same state.
const lineEvery = 5 * time.Second

// lineProgress writes a line when the state or its reason changes, for each evaluation, and at intervals.
type lineProgress struct {
	w           io.Writer
	last        time.Time
	state       string
	evaluations int
	eta         eta
}

func (p *lineProgress) update(j *sslctlv1.Job) {
	for ; p.evaluations < len(j.Evaluations); p.evaluations++ {
		fmt.Fprintf(p.w, "%s: %s\n", j.Name, evaluationLine(j.Evaluations[p.evaluations]))
	}
	line := headline(j, &p.eta)
	state := stateName(j.State) + j.Reason
	if state == p.state && time.Since(p.last) < lineEvery {
		return
	}
	p.state, p.last = state, time.Now()
	fmt.Fprintf(p.w, "%s: step %s  %s\n", j.Name, outOf(j.Step, j.StepsTotal), line)
}

func (p *lineProgress) close() {}
