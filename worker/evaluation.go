package worker

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/evaluate"
	"github.com/sslctl/sslctl/pkg/task"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// evaluation measures snapshots of the encoder beside the training, one after the other, on rank 0. It is outside of the digest.
type evaluation struct {
	session    *session
	untrained  task.Encoder
	data       evaluate.Data
	options    evaluate.Options
	totalSteps uint64
	floors     map[string]float64 // of raw pixels and of the untrained encoder, once known
	newest     uint64             // step of the newest measurement, committed or under way
	measured   bool               // there is one
	work       chan snapshot
	done       chan struct{}  // closed when all that was submitted is measured, after work was closed
	wait       sync.WaitGroup // of the goroutine
	stop       context.CancelFunc
	failed     chan struct{} // closed when failure is set
	failure    error
}

// snapshot is an encoder at a committed step.
type snapshot struct {
	step    uint64
	epoch   float64
	encoder task.Encoder
}

// newEvaluation reads the labelled sets and takes over what earlier generations have measured.
func newEvaluation(ctx context.Context, s *session, stores *stores, untrained task.Encoder, totalSteps uint64) (*evaluation, error) {
	s.report.phase(sslctlv1.Phase_PHASE_READY, "reading the evaluation data")
	spec := s.job.Spec.Evaluate
	e := &evaluation{
		session: s, untrained: untrained, totalSteps: totalSteps, work: make(chan snapshot, 1), done: make(chan struct{}), failed: make(chan struct{}),
		options: evaluate.Options{K: spec.KNN.K, Temperature: spec.KNN.Temperature, Probe: evaluate.Probe{L2: spec.Linear.L2, Iterations: spec.Linear.Iterations}},
	}
	var err error
	if e.data, err = readEvaluationData(ctx, s, stores); err != nil {
		return nil, err
	}
	for _, known := range s.assignment.Evaluations {
		e.newest, e.measured = max(e.newest, known.Step), true
		if e.floors == nil {
			e.floors = onlyFloors(known.Values)
		}
	}
	return e, nil
}

// onlyFloors picks the floors out of a measurement's values; nil unless all are there.
func onlyFloors(values map[string]float64) map[string]float64 {
	floors := map[string]float64{}
	for _, name := range []string{evaluate.MetricRawPixelKNN, evaluate.MetricRawPixelLinear, evaluate.MetricUntrainedKNN, evaluate.MetricUntrainedLinear} {
		value, ok := values[name]
		if !ok {
			return nil
		}
		floors[name] = value
	}
	return floors
}

// start begins to measure; close ends it. The floors come first.
func (e *evaluation) start(ctx context.Context) {
	ctx, e.stop = context.WithCancel(ctx)
	e.wait.Go(func() {
		if err := e.run(ctx); err != nil {
			e.failure = fmt.Errorf("spec.evaluate: %w", err)
			close(e.failed)
			return
		}
		close(e.done)
	})
}

func (e *evaluation) run(ctx context.Context) (err error) {
	defer e.session.recovered(&err)
	if e.floors == nil {
		if err := e.measureFloors(ctx); err != nil {
			return err
		}
	}
	for {
		select {
		case s, more := <-e.work:
			if !more {
				return nil
			}
			if err := e.measure(ctx, s); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (e *evaluation) close() {
	e.stop()
	e.wait.Wait()
}

func (e *evaluation) measureFloors(ctx context.Context) error {
	floors, err := evaluate.Floors(ctx, e.data, e.untrained, e.options)
	if err != nil {
		return err
	}
	e.floors = floors
	e.session.log.Info("measured the floors", zap.Any("values", floors))
	return nil
}

func (e *evaluation) measure(ctx context.Context, s snapshot) error {
	start := time.Now()
	values, err := evaluate.Run(ctx, e.data, s.encoder, e.options)
	if err != nil {
		return fmt.Errorf("measure the encoder of step %d: %w", s.step, err)
	}
	e.session.metrics.EvaluationSeconds.Observe(time.Since(start).Seconds())
	maps.Copy(values, e.floors)
	warning := ""
	// Early on, embeddings of a run that goes well may still lie close together.
	if healthy, reason := evaluate.Healthy(values); !healthy && 5*s.step >= e.totalSteps {
		warning = reason
	}
	fields := []zap.Field{telemetry.Step(s.step), zap.Any("values", values)}
	if warning != "" {
		fields = append(fields, zap.String("warning", warning))
	}
	e.session.log.Info("evaluated", fields...)
	e.session.report.update(true, func(m *sslctlv1.HeartbeatRequest) {
		m.Evaluations = append(m.Evaluations, &sslctlv1.Evaluation{Step: s.step, Epoch: s.epoch, Values: values, Warning: warning})
	})
	return nil
}

// submit has a snapshot measured unless an earlier generation has measured that step. While one measurement is under way and one waits,
// it blocks: training must not run away from its measurements.
func (e *evaluation) submit(ctx context.Context, step uint64, epoch float64, encoder func() task.Encoder) error {
	if e.measured && step <= e.newest {
		return nil
	}
	select {
	case e.work <- snapshot{step, epoch, encoder()}:
		e.newest, e.measured = step, true
		return nil
	case <-e.failed:
		return e.failure
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish waits until all that was submitted is measured. Nothing may be submitted afterwards.
func (e *evaluation) finish(ctx context.Context) error {
	close(e.work)
	select {
	case <-e.done:
		return nil
	case <-e.failed:
		return e.failure
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
