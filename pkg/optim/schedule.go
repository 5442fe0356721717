package optim

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// Schedule says how the learning rate goes over the steps of a job: a linear warm-up over WarmupSteps, then from the base rate along
// half a cosine down to MinLR at TotalSteps ("cosine"; Loshchilov and Hutter, "SGDR", ICLR 2017), or no further change ("constant").
type Schedule struct {
	Name                    string
	WarmupSteps, TotalSteps uint64
	MinLR                   float64
}

// Validate returns ErrConfig with what is out of range.
func (s Schedule) Validate() error {
	switch {
	case s.Name != "cosine" && s.Name != "constant":
		return fmt.Errorf("learning-rate schedule: %w: name %q, expected cosine or constant", ErrConfig, s.Name)
	case s.Name == "cosine" && s.WarmupSteps >= s.TotalSteps:
		return fmt.Errorf("learning-rate schedule: %w: %d warm-up steps of %d, expected fewer than there are", ErrConfig, s.WarmupSteps, s.TotalSteps)
	case !finite(s.MinLR) || s.MinLR < 0:
		return fmt.Errorf("learning-rate schedule: %w: least rate %v, expected 0 or more", ErrConfig, s.MinLR)
	}
	return nil
}

// At is the rate of the update that follows step others, of a valid Schedule with the base rate lr. Warm-up step t of w has lr·(t+1)/w;
// cosine step t has min + (lr − min)·(1 + cos(π·(t−w)/(total−w)))/2, and min from TotalSteps on.
func (s Schedule) At(lr float64, step uint64) float64 {
	switch {
	case step < s.WarmupSteps:
		return lr * float64(step+1) / float64(s.WarmupSteps)
	case s.Name == "constant":
		return lr
	case step >= s.TotalSteps:
		return s.MinLR
	}
	turn := float64(step-s.WarmupSteps) / float64(s.TotalSteps-s.WarmupSteps)
	return s.MinLR + float64((lr-s.MinLR)*0.5*(1+keyed.Cos(float64(math.Pi*turn))))
}
