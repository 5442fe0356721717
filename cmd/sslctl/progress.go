package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

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
func newProgress(s *screen) progress {
	if width, ok := terminalWidth(s.w); ok {
		return &barProgress{screen: s, width: width}
	}
	return &lineProgress{w: s}
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
		if j.Reason != "" && !ended(j.State) { // who follows to the end tells why it came
			text += ": " + strings.TrimPrefix(strings.TrimPrefix(j.Reason, "preparing: "), "stopping: ") // the state has said so
		}
		return text
	}
	parts := []string{fmt.Sprintf("epoch %.1f/%g", j.Epoch, j.EpochsTotal)}
	if j.SamplesPerSecond > 0 {
		parts = append(parts, rateText(j.SamplesPerSecond)+" samples/s")
	}
	if j.Step > 0 {
		parts = append(parts, fmt.Sprintf("loss %.3f", j.Loss))
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

// screen is standard error, which the log and the bar share: what is written takes the bar's place, and the bar is drawn below it again.
type screen struct {
	mu  sync.Mutex
	w   io.Writer
	bar *progressbar.ProgressBar
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(p)
}

func (s *screen) clear() {
	if s.bar != nil {
		_ = s.bar.Clear() // a terminal that does not take the line is no reason to stop following
	}
}

// barProgress redraws one line, and prints finished evaluations above it.
type barProgress struct {
	screen      *screen
	width       int
	total       uint64
	evaluations evaluationLines
	eta         eta
}

func (p *barProgress) update(j *sslctlv1.Job) {
	for _, line := range p.evaluations.next(j) {
		fmt.Fprintln(p.screen, line)
	}
	p.screen.mu.Lock()
	defer p.screen.mu.Unlock()
	if p.screen.bar == nil || p.total != j.StepsTotal {
		p.screen.clear()
		p.total = j.StepsTotal
		p.screen.bar = newBar(p.screen.w, p.total)
	}
	bar := p.screen.bar
	bar.Describe(p.fit(j, headline(j, &p.eta)))
	if p.total > 0 {
		_ = bar.Set64(int64(min(j.Step, p.total)))
	} else {
		_ = bar.Add(0)
	}
}

// barWidth is the width of the bar alone, barFrame what the library writes around it: " 100% |", "| (" and ") ".
const (
	barWidth = 8
	barFrame = 12
)

// fit cuts the text before the bar so that the line fits the terminal: one that wraps cannot be redrawn.
func (p *barProgress) fit(j *sslctlv1.Job, text string) string {
	room := p.width - 1 - barWidth - barFrame - len(outOf(j.StepsTotal, j.StepsTotal))
	if long := j.Name + "  " + text; utf8.RuneCountInString(long) <= room {
		return long
	}
	if runes := []rune(text); len(runes) > room {
		return string(runes[:max(room-1, 1)]) + "…"
	}
	return text
}

func newBar(w io.Writer, total uint64) *progressbar.ProgressBar {
	most := int64(total)
	if total == 0 {
		most = -1 // a spinner until the data is indexed
	}
	return progressbar.NewOptions64(most,
		progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(barWidth), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		// The spinner turns with the updates: a goroutine of the library's would go on drawing after close.
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSpinnerType(14), progressbar.OptionSetSpinnerChangeInterval(0))
}

func (p *barProgress) close() {
	p.screen.mu.Lock()
	defer p.screen.mu.Unlock()
	p.screen.clear()
	p.screen.bar = nil
}

const (
	// lineEvery is the least time between two lines about the same state.
	lineEvery = 5 * time.Second
	// sameEvery is the least time between two equal lines: they say that there is still somebody at work.
	sameEvery = time.Minute
)

// lineProgress writes a line when the state or its reason changes, for each evaluation, and at intervals.
type lineProgress struct {
	w           io.Writer
	last        time.Time
	line, state string
	evaluations evaluationLines
	eta         eta
}

func (p *lineProgress) update(j *sslctlv1.Job) {
	for _, line := range p.evaluations.next(j) {
		fmt.Fprintf(p.w, "%s: %s\n", j.Name, line)
	}
	line := fmt.Sprintf("%s: step %s  %s\n", j.Name, outOf(j.Step, j.StepsTotal), headline(j, &p.eta))
	state, silence := stateName(j.State)+j.Reason, time.Since(p.last)
	if (state == p.state && silence < lineEvery) || (line == p.line && silence < sameEvery) {
		return
	}
	p.line, p.state, p.last = line, state, time.Now()
	fmt.Fprint(p.w, line)
}

func (p *lineProgress) close() {}
