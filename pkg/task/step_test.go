package task

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
)

// every runs a test for a small form of every task.
func every(t *testing.T, test func(t *testing.T, c Config)) {
	for _, c := range settings {
		t.Run(c.Name+c.Loss, func(t *testing.T) { test(t, c) })
	}
}

// The step's gradient against one computed from all logits at once, in float64, with the same network.
func TestStepAgainstTheDefinition(t *testing.T) {
	every(t, func(t *testing.T, c Config) {
		m, twin, own := newTest(t, c), newTest(t, c), testBatches(0)
		var got []float64
		metrics, err := m.Step(context.Background(), alone{testRanks}, 0, own, func(context.Context, ...string) error {
			trained := m.Trained()[0]
			got = make([]float64, len(trained.Parameters.Data))
			for _, g := range trained.Grads {
				for i, x := range g.Float32s() {
					got[i] += float64(x)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantLoss, want := Definition(twin, own)
		if e := math.Abs((metrics["loss"] - wantLoss) / wantLoss); e > 1e-5 {
			t.Errorf("loss %v, want %v", metrics["loss"], wantLoss)
		}
		worst, size := 0.0, 0.0
		for i := range want {
			worst, size = max(worst, math.Abs(got[i]-want[i])), max(size, math.Abs(want[i]))
		}
		if chance, told := metrics["chanceLoss"]; told && (chance < 0.5*wantLoss || chance > 2*wantLoss) {
			t.Errorf("the loss of chance is %v, that of an untrained model %v", chance, wantLoss)
		}
		if worst/size > 1e-5 {
			t.Errorf("gradient is off by %.2e of its largest element", worst/size)
		}
	})
}

func TestASkippedStepChangesNothing(t *testing.T) {
	every(t, func(t *testing.T, c Config) {
		m := newTest(t, c)
		step := func(own []Batch, update Update) error {
			_, err := m.Step(context.Background(), alone{testRanks}, 1, own, update)
			return err
		}
		before := bits(t, m)
		// 1e30 leaves every embedding finite, but not the variances of one virtual rank.
		for _, view := range []string{"view1", "view2"} {
			for _, x := range []float64{math.NaN(), 1e30} {
				poisoned := testBatches(1)
				poisoned[1].Fields[view].Float32s()[5] = float32(x)
				if err := step(poisoned, nil); !errors.Is(err, ErrNotFinite) {
					t.Fatalf("%v in %s gave %v, want ErrNotFinite", x, view, err)
				}
			}
		}
		if err := step(testBatches(1), func(context.Context, ...string) error { return ErrNotFinite }); !errors.Is(err, ErrNotFinite) {
			t.Fatalf("a gradient that is not finite gave %v", err)
		}
		if bits(t, m) != before {
			t.Error("the state has changed")
		}
		if err := step(testBatches(1), func(context.Context, ...string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if bits(t, m) == before {
			t.Error("a step that was not skipped changed nothing")
		}
	})
}

// bits are those of the whole state.
func bits(t *testing.T, of Task) string {
	t.Helper()
	var all []byte
	for _, v := range of.State() {
		var err error
		if all, err = binary.Append(all, binary.LittleEndian, v.Value.Data()); err != nil {
			t.Fatal(err)
		}
	}
	return string(all)
}

func TestAStepNamesItsPhases(t *testing.T) {
	every(t, func(t *testing.T, c Config) {
		var phases []string
		e := testEnvironment(t, c)
		e.Enter = func(phase string) { phases = append(phases, phase) }
		m, err := New(c, e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Step(context.Background(), alone{testRanks}, 0, testBatches(0), func(context.Context, ...string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		forward, backward := slices.Index(phases, PhaseForward), slices.Index(phases, PhaseBackward)
		if forward != 0 || backward < 1 || slices.Contains(phases, PhaseBank) != (m.BankBytes() > 0) {
			t.Errorf("the phases are %v", phases)
		}
	})
}

// A collapsed encoder shows: its targets have no spread, while those of an untrained one have.
func TestTheSpreadTellsACollapse(t *testing.T) {
	for _, name := range []string{"byol", "simsiam"} {
		spread := func(own []Batch) float64 {
			m := newTest(t, Config{Name: name, Momentum: 0.9})
			metrics, err := m.Step(context.Background(), alone{testRanks}, 0, own, func(context.Context, ...string) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			return metrics["targetSpread"]
		}
		alike := testBatches(0)
		for _, b := range alike {
			for _, view := range b.Fields {
				clear(view.Float32s())
			}
		}
		if healthy, collapsed := spread(testBatches(0)), spread(alike); healthy < 0.3 || collapsed > 0.01 {
			t.Errorf("%s: spread %v of different images, %v of equal ones", name, healthy, collapsed)
		}
	}
}

// Each form of SimCLR's loss is a loss of its own.
func TestSimCLRsFormsDiffer(t *testing.T) {
	seen := map[float64]string{}
	for _, c := range settings {
		if c.Name != "simclr" {
			continue
		}
		metrics, err := newTest(t, c).Step(context.Background(), alone{testRanks}, 0, testBatches(0), func(context.Context, ...string) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if other, known := seen[metrics["loss"]]; known {
			t.Errorf("%s and %s have the same loss", c.Loss, other)
		}
		seen[metrics["loss"]] = c.Loss
	}
}
