package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// Schedule says how the learning rate goes over the steps of a job: a linear warm-up over WarmupSteps, then from the base rate
//
//	"cosine"    along half a cosine down to MinLR at TotalSteps (Loshchilov and Hutter, "SGDR", ICLR 2017)
//	"linear"    along a line down to MinLR at TotalSteps
//	"step"      by the factor Gamma at each of Milestones, as PyTorch's MultiStepLR
//	"constant"  no further
type Schedule struct {
	Name                    string
	WarmupSteps, TotalSteps uint64
	MinLR                   float64  // of cosine and linear
	Milestones              []uint64 // of step: steps from which on the rate is lower, ascending
	Gamma                   float64  // of step
}

// ScheduleNames lists the schedules.
func ScheduleNames() []string { return []string{"cosine", "linear", "step", "constant"} }

// Validate returns ErrConfig with what is out of range.
func (s Schedule) Validate() error {
	wrong := s.wrong()
	if wrong == "" {
		return nil
	}
	return fmt.Errorf("learning-rate schedule: %w: %s", ErrConfig, wrong)
}

func (s Schedule) wrong() string {
	descends := s.Name == "cosine" || s.Name == "linear"
	switch {
	case !slices.Contains(ScheduleNames(), s.Name):
		return fmt.Sprintf("name %q, expected one of %s", s.Name, strings.Join(ScheduleNames(), ", "))
	case descends && s.WarmupSteps >= s.TotalSteps:
		return fmt.Sprintf("%d warm-up steps of %d, expected fewer than there are", s.WarmupSteps, s.TotalSteps)
	case !finite(s.MinLR) || s.MinLR < 0:
		return fmt.Sprintf("least rate %v, expected 0 or more", s.MinLR)
	case s.Name != "step":
		return ""
	case !(s.Gamma > 0 && s.Gamma <= 1):
		return fmt.Sprintf("gamma %v, expected (0, 1]", s.Gamma)
	case len(s.Milestones) == 0 || s.Milestones[0] < s.WarmupSteps || !ascending(s.Milestones):
		return fmt.Sprintf("milestones %v, expected one or more, ascending, from the end of the warm-up (%d) on", s.Milestones, s.WarmupSteps)
	}
	return ""
}

func ascending(steps []uint64) bool {
	for i := range steps[1:] {
		if steps[i] >= steps[i+1] {
			return false
		}
	}
	return true
}

// At is the rate of the update that follows step others, of a valid Schedule with the base rate lr. Warm-up step t of w has lr·(t+1)/w. After it
// the turn x = (t−w)/(total−w) decides: a cosine has min + (lr − min)·(1 + cos πx)/2, a line lr + (min − lr)·x, both min from TotalSteps on;
// steps have lr·γᵏ after k milestones.
func (s Schedule) At(lr float64, step uint64) float64 {
	switch {
	case step < s.WarmupSteps:
		return lr * float64(step+1) / float64(s.WarmupSteps)
	case s.Name == "constant":
		return lr
	case s.Name == "step":
		return lr * power(s.Gamma, s.passed(step))
	case step >= s.TotalSteps:
		return s.MinLR
	}
	turn := float64(step-s.WarmupSteps) / float64(s.TotalSteps-s.WarmupSteps)
	if s.Name == "linear" {
		return lr + float64((s.MinLR-lr)*turn)
	}
	return s.MinLR + float64((lr-s.MinLR)*0.5*(1+keyed.Cos(float64(math.Pi*turn))))
}

// passed is the number of milestones up to step.
func (s Schedule) passed(step uint64) uint64 {
	k, reached := slices.BinarySearch(s.Milestones, step)
	if reached {
		k++
	}
	return uint64(k)
}
