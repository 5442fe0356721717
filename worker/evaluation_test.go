package worker

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/evaluate"
	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// heldEncoder encodes when it is let: each call is announced, and waits.
type heldEncoder struct {
	task.Encoder
	entered chan struct{}
	release chan struct{}
}

func newHeldEncoder() *heldEncoder {
	return &heldEncoder{entered: make(chan struct{}, 100), release: make(chan struct{})}
}

func (h *heldEncoder) Features(images *tensor.Dense) (*tensor.Dense, error) {
	h.entered <- struct{}{}
	<-h.release
	n := images.Shape()[0]
	return tensor.New(tensor.WithShape(n, 2), tensor.WithBacking(append([]float32{}, images.Float32s()[:2*n]...))), nil
}

func (h *heldEncoder) Embeddings(images *tensor.Dense) (*tensor.Dense, error) {
	n := images.Shape()[0]
	z := tensor.New(tensor.WithShape(n, 2), tensor.WithBacking(make([]float32, 2*n)))
	for i := range n {
		z.Float32s()[2*i+i%2] = 1
	}
	return z, nil
}

// testEvaluation measures on four images of 2 × 1 pixels; the floors are known.
func testEvaluation(t *testing.T) *evaluation {
	t.Helper()
	pixels := func() *tensor.Dense {
		return tensor.New(tensor.WithShape(4, 2, 1, 1), tensor.WithBacking([]float32{1, 0, 0.9, 0.1, 0, 1, 0.1, 0.9}))
	}
	labels := []int{0, 0, 1, 1}
	return &evaluation{
		session: testSession(t), work: make(chan snapshot, 1), done: make(chan struct{}), failed: make(chan struct{}),
		floors:  map[string]float64{evaluate.MetricRawPixelKNN: 0.5},
		options: evaluate.Options{K: 1, Temperature: 0.1, Probe: evaluate.Probe{L2: 1e-2, Iterations: 3}},
		data: evaluate.Data{
			Train: evaluate.Images{Pixels: pixels(), Labels: labels}, Test: evaluate.Images{Pixels: pixels(), Labels: labels}, View1: pixels(), View2: pixels(),
		},
	}
}

func TestMeasurementsQueue(t *testing.T) {
	e := testEvaluation(t)
	defer func() { e.close() }()
	e.start(t.Context())
	held := newHeldEncoder()
	take := func() task.Encoder { return held }
	if err := e.submit(t.Context(), 10, 1, take); err != nil {
		t.Fatal(err)
	}
	<-held.entered // it is under way
	if err := e.submit(t.Context(), 20, 2, take); err != nil {
		t.Fatal(err)
	}
	if err := e.submit(t.Context(), 20, 2, func() task.Encoder { t.Error("a step is measured twice"); return held }); err != nil {
		t.Fatal(err)
	}
	// One under way, one waiting: training must wait.
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	if err := e.submit(ended, 30, 3, take); !errors.Is(err, errStopped) {
		t.Errorf("a third snapshot was taken: %v", err)
	}
	close(held.release)
	if err := e.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := e.session.report.snapshot()
	if len(m.Evaluations) != 2 || m.Evaluations[0].Step != 10 || m.Evaluations[1].Step != 20 || m.Evaluations[1].Epoch != 2 {
		t.Fatalf("measured: %v", m.Evaluations)
	}
	if v := m.Evaluations[0].Values; v[evaluate.MetricKNN] != 1 || v[evaluate.MetricRawPixelKNN] != 0.5 {
		t.Errorf("values: %v", v)
	}
}

func TestAFailedMeasurementEndsTheJob(t *testing.T) {
	e := testEvaluation(t)
	defer func() { e.close() }()
	e.floors, e.untrained = nil, newHeldEncoder()
	e.data.Train.Labels = e.data.Train.Labels[:3] // too few
	e.start(t.Context())
	<-e.failed
	held := newHeldEncoder()
	for step := range uint64(2) { // the queue takes one, at most
		if err := e.submit(t.Context(), 10+step, 1, func() task.Encoder { return held }); err != nil {
			if !strings.Contains(err.Error(), "spec.evaluate") || !errors.As(permanent(err), &permanentError{}) {
				t.Errorf("the failure is reported as %v", err)
			}
			return
		}
	}
	t.Error("the queue of a failed evaluation takes snapshots")
}

func TestAFailureWhileTheEndIsAwaited(t *testing.T) {
	e := testEvaluation(t)
	defer func() { e.close() }()
	e.data.Test.Labels = nil
	held := newHeldEncoder()
	e.start(t.Context())
	if err := e.submit(t.Context(), 10, 1, func() task.Encoder { return held }); err != nil {
		t.Fatal(err)
	}
	close(held.release)
	if err := e.finish(t.Context()); err == nil || !strings.Contains(err.Error(), "step 10") {
		t.Errorf("finish gave %v", err)
	}
}

func TestAPanicInAMeasurementIsItsFailure(t *testing.T) {
	e := testEvaluation(t)
	defer func() { e.close() }()
	e.start(t.Context())
	if err := e.submit(t.Context(), 10, 1, func() task.Encoder { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := e.finish(t.Context()); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("finish gave %v", err)
	}
}

// A cancelled measurement ends at the next chunk of images; nobody waits for the rest.
func TestCancelEndsAMeasurement(t *testing.T) {
	e := testEvaluation(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	e.start(ctx)
	held := newHeldEncoder()
	if err := e.submit(ctx, 10, 1, func() task.Encoder { return held }); err != nil {
		t.Fatal(err)
	}
	<-held.entered
	cancel(errStopped)
	if err := e.finish(ctx); !errors.Is(err, errStopped) {
		t.Errorf("finish gave %v", err)
	}
	close(held.release)
	e.close()
	if n := len(held.entered); n != 0 {
		t.Errorf("%d more chunks were encoded", n)
	}
	if m := e.session.report.snapshot(); len(m.Evaluations) != 0 {
		t.Errorf("measured: %v", m.Evaluations)
	}
}

func TestWhatEarlierGenerationsMeasuredIsNotMeasuredAgain(t *testing.T) {
	e := testEvaluation(t)
	e.newest, e.measured = 20, true
	if err := e.submit(t.Context(), 20, 2, func() task.Encoder { t.Error("measured again"); return nil }); err != nil {
		t.Error(err)
	}
	if onlyFloors(map[string]float64{evaluate.MetricRawPixelKNN: 1}) != nil {
		t.Error("incomplete floors are taken for all")
	}
	all := map[string]float64{evaluate.MetricRawPixelKNN: 1, evaluate.MetricRawPixelLinear: 2, evaluate.MetricUntrainedKNN: 3, evaluate.MetricUntrainedLinear: 4, evaluate.MetricKNN: 5}
	if f := onlyFloors(all); len(f) != 4 || f[evaluate.MetricUntrainedLinear] != 4 {
		t.Errorf("floors: %v", f)
	}
}

// coneEncoder tells the classes apart; its embeddings all point the same way, but for width.
type coneEncoder struct {
	task.Encoder
	width float32
}

func (c coneEncoder) Features(images *tensor.Dense) (*tensor.Dense, error) {
	return tensor.New(tensor.WithShape(images.Shape()[0], 2), tensor.WithBacking(images.Float32s())), nil
}

func (c coneEncoder) Embeddings(images *tensor.Dense) (*tensor.Dense, error) {
	n := images.Shape()[0]
	const d = 9
	z := tensor.New(tensor.WithShape(n, d), tensor.WithBacking(make([]float32, n*d)))
	for i := range n {
		z.Float32s()[d*i], z.Float32s()[d*i+1+i%(d-1)] = 1, c.width
	}
	return z, nil
}

// TestCollapseIsWarnedOf measures a cone as narrow as that of a run that begins well, and one that is nothing but its axis.
func TestCollapseIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		width  float32
		floor  float64
		warned bool
	}{{0.9, 0.5, false}, {0.9, 1, true}, {0.1, 0.5, true}} {
		e := testEvaluation(t)
		wide := tensor.New(tensor.WithShape(8, 2, 1, 1), tensor.WithBacking(make([]float32, 16)))
		e.data.View1, e.data.View2 = wide, wide
		e.floors[evaluate.MetricUntrainedKNN], e.totalSteps = c.floor, 40
		e.start(t.Context())
		if err := e.submit(t.Context(), 10, 1, func() task.Encoder { return coneEncoder{width: c.width} }); err != nil {
			t.Fatal(err)
		}
		if err := e.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := e.session.report.snapshot().Evaluations[0]
		if warned := strings.HasPrefix(m.Warning, "collapse: "); warned != c.warned {
			t.Errorf("width %v, untrained %v: %q, values %v", c.width, c.floor, m.Warning, m.Values)
		}
		e.close()
	}
}
