package worker

import (
	"context"
	"time"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// stopwatch divides the time of a step among its phases: every moment counts to exactly one. It is used by one goroutine, the one that
// steps. What it measures is for the metrics alone and touches no result.
type stopwatch struct {
	now   func() time.Time
	since time.Time // the current phase was entered
	phase string
	spent map[string]time.Duration // by phase
}

func newStopwatch(now func() time.Time) *stopwatch {
	return &stopwatch{now: now, spent: map[string]time.Duration{}}
}

// start begins a step with a phase. What was not stopped is forgotten.
func (w *stopwatch) start(phase string) {
	clear(w.spent)
	w.phase, w.since = phase, w.now()
}

// enter goes on to another phase and returns the one before.
func (w *stopwatch) enter(phase string) (before string) {
	now := w.now()
	before = w.phase
	w.spent[before] += now.Sub(w.since)
	w.phase, w.since = phase, now
	return before
}

// stop ends the step and returns the time spent in each of telemetry.Phases.
func (w *stopwatch) stop() map[string]time.Duration {
	w.enter("")
	spent := map[string]time.Duration{}
	for _, phase := range telemetry.Phases() {
		spent[phase] = w.spent[phase]
	}
	return spent
}

// timedGroup counts the time of collectives to the phase communication.
type timedGroup struct {
	task.Group
	watch *stopwatch
}

// AllGather is part of task.Group.
func (g timedGroup) AllGather(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	defer g.watch.enter(g.watch.enter(telemetry.PhaseCommunication))
	return g.Group.AllGather(ctx, own)
}

// Sum is part of task.Group.
func (g timedGroup) Sum(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	defer g.watch.enter(g.watch.enter(telemetry.PhaseCommunication))
	return g.Group.Sum(ctx, own)
}

// SumScatter is part of task.Group.
func (g timedGroup) SumScatter(ctx context.Context, own []*tensor.Dense, bound float32) ([]*tensor.Dense, error) {
	defer g.watch.enter(g.watch.enter(telemetry.PhaseCommunication))
	return g.Group.SumScatter(ctx, own, bound)
}

// Max is part of task.Group.
func (g timedGroup) Max(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	defer g.watch.enter(g.watch.enter(telemetry.PhaseCommunication))
	return g.Group.Max(ctx, own)
}
