package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// TestBarFits draws every line within the terminal, with what matters whole on 80 columns.
func TestBarFits(t *testing.T) {
	j := &sslctlv1.Job{Name: "fashion-moco", State: sslctlv1.JobState_JOB_STATE_RUNNING, Step: 390, StepsTotal: 390, Epoch: 9.99, EpochsTotal: 10,
		SamplesPerSecond: 1234, Loss: 6.49}
	for _, width := range []int{20, 80, 200} {
		p := &barProgress{width: width}
		long := headline(j, &p.eta) + "  ETA 1m02s"
		text := p.fit(j, long)
		if width >= 80 && !strings.Contains(text, long) {
			t.Errorf("%d columns: %q", width, text)
		}
		if n := utf8.RuneCountInString(text) + barWidth + barFrame + len("390/390"); width >= 80 && n >= width {
			t.Errorf("%d columns: the line takes %d", width, n)
		}
	}
}

// TestScreen clears the bar before a line of the log.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	s.bar = newBar(&out, 10)
	if err := s.bar.Set(3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("a line\n")); err != nil {
		t.Fatal(err)
	}
	drawn := out.String()
	if !strings.Contains(drawn, "(3/10)") || !strings.HasSuffix(drawn, "\ra line\n") {
		t.Errorf("drawn %q", drawn)
	}
}

func TestLineProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&screen{w: &out})
	j := running(1)
	p.update(j)
	j.Step = 2
	p.update(j) // too soon
	j.Evaluations = []*sslctlv1.Evaluation{{Step: 2, Epoch: 0.05, Values: map[string]float64{"knn.top1": 0.5, "linear.top1": 0.604, "untrained.knn.top1": 0.25, "rawPixel.knn.top1": 0.3}}}
	p.update(j)
	done := completed()
	done.Evaluations[1].Warning = "collapse"
	p.update(done)
	p.close()
	want := `small: step 1/40  epoch 0.0/1  1234 samples/s  loss 7.250
small: untrained: kNN 25.0 %; raw pixels: kNN 30.0 %
small: epoch 0.1 (step 2): kNN 50.0 %, linear 60.4 %
small: epoch 1 (step 40): kNN 81.2 %, linear 82.5 %
small: WARNING: collapse
small: step 40/40  completed
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// An evaluation without labels tells what it can.
func TestEvaluationLineWithoutLabels(t *testing.T) {
	e := &sslctlv1.Evaluation{Step: 390, Epoch: 9.98, Values: map[string]float64{"effectiveRank": 19.09, "meanCosine": 0.083, "uniformity": -2.4}}
	if got, want := evaluationLine(e), "epoch 10 (step 390): effective rank 19.1, mean cosine 0.08"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the state says the reason does not say again.
func TestHeadlineSaysTheStateOnce(t *testing.T) {
	for state, want := range map[sslctlv1.JobState]string{
		sslctlv1.JobState_JOB_STATE_STARTING: "starting: w1 (indexing the data)", sslctlv1.JobState_JOB_STATE_PAUSING: "pausing: w1 (indexing the data)",
	} {
		verb := map[sslctlv1.JobState]string{sslctlv1.JobState_JOB_STATE_STARTING: "preparing", sslctlv1.JobState_JOB_STATE_PAUSING: "stopping"}[state]
		if got := headline(&sslctlv1.Job{State: state, Reason: verb + ": w1 (indexing the data)"}, &eta{}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A job that waits says so once, not every few seconds; why it ended is told by who followed it.
func TestLineProgressDoesNotRepeatItself(t *testing.T) {
	var out bytes.Buffer
	p := &lineProgress{w: &out}
	j := &sslctlv1.Job{Name: "small", State: sslctlv1.JobState_JOB_STATE_WAITING, Reason: "needs 2 workers"}
	for range 3 {
		p.update(j)
		p.last = p.last.Add(-2 * lineEvery)
	}
	p.last = p.last.Add(-sameEvery)
	p.update(j)
	j.State, j.Reason = sslctlv1.JobState_JOB_STATE_FAILED, "no space left"
	p.update(j)
	want := "small: step 0  waiting: needs 2 workers\nsmall: step 0  waiting: needs 2 workers\nsmall: step 0  failed\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
