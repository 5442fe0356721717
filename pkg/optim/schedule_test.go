package optim

import (
	"errors"
	"math"
	"testing"
)

func TestCosineAgainstPyTorch(t *testing.T) {
	f := load(t, "cosine_lr")
	s := Schedule{Name: "cosine", TotalSteps: 390}
	for i, step := range f.Inputs["step"].Data {
		if got, want := s.At(1, uint64(step)), f.Outputs["lr"].Data[i]; math.Abs(got-want) > 1e-12 {
			t.Errorf("step %v: %v, want %v", step, got, want)
		}
	}
}

func TestShapeOfSchedules(t *testing.T) {
	s := Schedule{Name: "cosine", WarmupSteps: 4, TotalSteps: 14, MinLR: 0.1}
	for step, want := range map[uint64]float64{0: 0.25, 1: 0.5, 3: 1, 4: 1, 9: 0.55, 14: 0.1, 1000: 0.1} {
		if got := s.At(1, step); math.Abs(got-want) > 1e-12 {
			t.Errorf("cosine step %d: %v, want %v", step, got, want)
		}
	}
	s.Name = "linear"
	for step, want := range map[uint64]float64{0: 0.25, 3: 1, 4: 1, 9: 0.55, 13: 0.19, 14: 0.1, 1000: 0.1} {
		if got := s.At(1, step); math.Abs(got-want) > 1e-12 {
			t.Errorf("linear step %d: %v, want %v", step, got, want)
		}
	}
	s.Name, s.Milestones, s.Gamma = "step", []uint64{6, 10}, 0.1
	for step, want := range map[uint64]float64{0: 0.25, 3: 1, 5: 1, 6: 0.1, 9: 0.1, 10: 0.01, 1000: 0.01} {
		if got := s.At(1, step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step step %d: %v, want %v", step, got, want)
		}
	}
	s.Name = "constant"
	for step, want := range map[uint64]float64{0: 0.5, 3: 2, 4: 2, 1000: 2} {
		if got := s.At(2, step); got != want {
			t.Errorf("constant step %d: %v, want %v", step, got, want)
		}
	}
}

func TestImpossibleSchedules(t *testing.T) {
	for _, s := range []Schedule{{}, {Name: "exponential"}, {Name: "cosine"}, {Name: "cosine", WarmupSteps: 5, TotalSteps: 5}, {Name: "linear", WarmupSteps: 5, TotalSteps: 5},
		{Name: "constant", MinLR: -1}, {Name: "step", Gamma: 0.1}, {Name: "step", Gamma: 0, Milestones: []uint64{3}}, {Name: "step", Gamma: 1.1, Milestones: []uint64{3}},
		{Name: "step", Gamma: 0.1, Milestones: []uint64{3, 3}}, {Name: "step", Gamma: 0.1, Milestones: []uint64{3, 5}, WarmupSteps: 4}} {
		if err := s.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Schedule{{Name: "constant"}, {Name: "cosine", WarmupSteps: 4, TotalSteps: 5}, {Name: "linear", TotalSteps: 1},
		{Name: "step", Gamma: 0.1, Milestones: []uint64{4, 9}, WarmupSteps: 4, TotalSteps: 5}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
