package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// slowGroup is a Group whose collectives take a second of a clock that stands still otherwise.
type slowGroup struct {
	task.Group
	clock *time.Time
}

func (g slowGroup) Sum(context.Context, []*tensor.Dense) (*tensor.Dense, error) {
	*g.clock = g.clock.Add(time.Second)
	return nil, nil
}

func TestThePhasesOfAStepAddUpToIt(t *testing.T) {
	clock := time.Unix(0, 0)
	w := newStopwatch(func() time.Time { return clock })
	pass := func(d time.Duration) { clock = clock.Add(d * time.Millisecond) }
	group := timedGroup{slowGroup{clock: &clock}, w}
	sum := func() {
		if _, err := group.Sum(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	update := func() { // as the trainer's: within the task's step
		defer w.enter(w.enter(telemetry.PhaseUpdate))
		pass(3)
		sum()
		pass(4)
	}
	w.start(telemetry.PhaseData)
	pass(1000) // a step that failed
	w.start(telemetry.PhaseData)
	start := clock
	pass(10)
	w.enter(telemetry.PhaseForward)
	pass(20)
	sum()
	w.enter(task.PhaseBank)
	pass(30)
	w.enter(task.PhaseBackward)
	pass(40)
	update()
	pass(50)
	want := map[string]time.Duration{
		telemetry.PhaseData: 10, telemetry.PhaseForward: 20, telemetry.PhaseBank: 30, telemetry.PhaseBackward: 90, telemetry.PhaseUpdate: 7,
		telemetry.PhaseCommunication: 2000, telemetry.PhaseCommit: 0,
	}
	var total time.Duration
	for phase, took := range w.stop() {
		total += took
		if took != want[phase]*time.Millisecond {
			t.Errorf("%s took %v, want %v", phase, took, want[phase]*time.Millisecond)
		}
	}
	if total != clock.Sub(start) {
		t.Errorf("the phases add up to %v, the step took %v", total, clock.Sub(start))
	}
}

func TestEveryPhaseOfATaskIsMeasured(t *testing.T) {
	for _, phase := range []string{task.PhaseForward, task.PhaseBank, task.PhaseBackward} {
		if !slices.Contains(telemetry.Phases(), phase) {
			t.Errorf("the phase %q has no place in the metrics", phase)
		}
	}
}
