package worker

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/task"
)

// Probe is what a few steps have shown that the worker with most virtual ranks ran alone, on real samples and without a network.
type Probe struct {
	Steps       int     `json:"steps"`
	StepSeconds float64 `json:"stepSeconds"` // mean
	DataSeconds float64 `json:"dataSeconds"` // of it, waiting for samples
	MemoryBytes uint64  `json:"memoryBytes"` // most that the process held
}

const (
	// probeSteps is how many steps are measured at most, after those for which samples are ready before the first.
	probeSteps = 20
	// probeWithin is after how long no further step is begun.
	probeWithin = 5 * time.Second
)

// probe runs the first steps of the job as the worker that group stands for. It returns the collectives of one step.
func (e *Estimate) probe(ctx context.Context, s *session, src *source, b *built, group *mirror) ([]counted, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loader := newLoader(ctx, s, src, group, wantedBy(b.task), 0)
	defer loader.close()
	watch := newStopwatch(time.Now)
	e.Probe = &Probe{}
	var calls []counted
	var corrupt []string
	begun := time.Now()
	for step := uint64(0); step < src.totalSteps; step++ {
		warm := step < prefetch && src.totalSteps > prefetch // samples of these are made before they are asked for
		if e.Probe.Steps > 0 && (time.Since(begun) > probeWithin || e.Probe.Steps == probeSteps) {
			break
		}
		watch.start(telemetry.PhaseData)
		batch, err := loader.next(ctx)
		if err != nil {
			return nil, err
		}
		corrupt = withNew(corrupt, batch.corrupt)
		if limit := s.job.Spec.Dataset.MaxCorrupt; len(corrupt) > limit {
			return nil, tooCorrupt(corrupt, limit)
		}
		watch.enter(telemetry.PhaseForward)
		if _, err := b.task.Step(ctx, group, step, batch.own, b.applies(group, step)); err != nil {
			return nil, fmt.Errorf("step %d: %w", step+1, err)
		}
		loader.release(batch)
		calls = group.take()
		spent := watch.stop()
		if !warm {
			e.Probe.Steps++
			e.Probe.DataSeconds += spent[telemetry.PhaseData].Seconds()
			e.Probe.StepSeconds += spent[telemetry.PhaseData].Seconds() + spent[telemetry.PhaseForward].Seconds()
		}
		e.Probe.MemoryBytes = max(e.Probe.MemoryBytes, held())
	}
	e.Probe.DataSeconds /= float64(e.Probe.Steps)
	e.Probe.StepSeconds /= float64(e.Probe.Steps)
	return calls, nil
}

// applies is the update that a task asks for in a step of the probe.
func (b *built) applies(group *mirror, step uint64) task.Update {
	return func(ctx context.Context, names ...string) error {
		for _, name := range names {
			g := b.state.group(name)
			total, err := group.SumGradients(ctx, g.parameters.Grads)
			if err != nil {
				return err
			}
			g.optimizer.Step(total.Float32s(), g.schedule.At(g.learningRate, step), step)
		}
		return nil
	}
}

// held is the memory that this process has from the system now.
func held() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
