package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Momentum says which share of itself a moving average keeps in each step: Base in all of them ("constant", or no name), or a share that
// rises along half a cosine from Base to 1 at TotalSteps ("cosine"; Grill et al., "Bootstrap your own latent", NeurIPS 2020, §3.2).
type Momentum struct {
	Name       string
	Base       float64
	TotalSteps uint64
}

// MomentumNames lists the schedules of a momentum.
func MomentumNames() []string { return []string{"constant", "cosine"} }

// Validate returns ErrConfig with what is out of range.
func (m Momentum) Validate() error {
	switch {
	case m.Name != "" && !slices.Contains(MomentumNames(), m.Name):
		return fmt.Errorf("momentum schedule: %w: name %q, expected one of %s", ErrConfig, m.Name, strings.Join(MomentumNames(), ", "))
	case !(m.Base >= 0 && m.Base < 1):
		return fmt.Errorf("momentum schedule: %w: momentum is %v, expected in [0, 1)", ErrConfig, m.Base)
	case m.Name == "cosine" && m.TotalSteps == 0:
		return fmt.Errorf("momentum schedule: %w: cosine over 0 steps, expected 1 or more", ErrConfig)
	}
	return nil
}

// At is the share that is kept in the step that follows step others, of a valid Momentum: 1 − (1 − Base)·(cos(π·step/TotalSteps) + 1)/2.
func (m Momentum) At(step uint64) float64 {
	switch {
	case m.Name != "cosine":
		return m.Base
	case step >= m.TotalSteps:
		return 1
	}
	turn := float64(step) / float64(m.TotalSteps)
	return 1 - float64((1-m.Base)*0.5*(keyed.Cos(float64(math.Pi*turn))+1))
}

// Average is an exponential moving average of values that others change: of an encoder's parameters (He et al., "Momentum contrast for
// unsupervised visual representation learning", CVPR 2020, eq. 2).
type Average struct {
	average, of []float32
	keep        float32 // in the step at hand
	follow      func(i int)
}

// NewAverage makes average follow the values in of, which has as many. Both stay the caller's. It panics where the lengths differ.
func NewAverage(average, of []float32) *Average {
	if len(average) != len(of) {
		panic(fmt.Sprintf("moving average of %d elements for values of %d", len(average), len(of)))
	}
	a := &Average{average: average, of: of}
	a.follow = a.followRun
	return a
}

// nothing is −0: what is added to it keeps its sign, be it zero.
var nothing = float32(math.Copysign(0, -1))

// Follow sets average ← m·average + (1−m)·of.
func (a *Average) Follow(m float64) {
	a.keep = float32(m)
	simd.Parallel((len(a.of)+runLength-1)/runLength, a.follow)
}

func (a *Average) followRun(i int) {
	lo, hi := i*runLength, min((i+1)*runLength, len(a.of))
	average := a.average[lo:hi]
	simd.Blend(average, a.of[lo:hi], average, 1-a.keep, a.keep, nothing)
}
