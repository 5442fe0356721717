package task

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/objective"
)

// At a low temperature the bound that the first step begins with lies so far above all scores that the sums over the drawn slots are 0.
func TestTheFirstStepFindsItsZFromAnyGuess(t *testing.T) {
	const samples, all, ownAlone = 30, 300, -200 // log Z over all scores, and over those of the own slots, which are never lost
	s := newInstanceNCE(&instdisc{config: Config{Temperature: 0.001}, env: Environment{Samples: samples}, drawn: 10})
	passes := 0
	pass := func() {
		passes++
		seen := float64(all)
		if s.current-all > 100 {
			seen = ownAlone
		}
		s.merged = objective.NCEMerge{LogMean: seen - float64(s.shift()) - math.Log(samples)}
	}
	s.begin()
	for pass(); s.calibrate() && passes < 10; {
		pass()
	}
	if math.Abs(s.current-all) > 0.01 || passes != 3 {
		t.Errorf("after %d passes log Z is %v, want %v after 3", passes, s.current, all)
	}
}
