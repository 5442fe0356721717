package worker

import (
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/task"
)

// A job that would fail at its first corrupt sample is not foretold to run.
func TestAProbeRefusesWhatTheJobWould(t *testing.T) {
	for allowed, refused := range map[int]bool{1: true, 2: false} {
		s, src := testSource(t, 2, 7)
		s.job.Spec.Dataset.MaxCorrupt = allowed
		steps := 0
		b := &built{task: &scripted{step: func() (task.Metrics, error) { steps++; return task.Metrics{}, nil }}}
		_, err := (&Estimate{}).probe(t.Context(), s, src, b, &mirror{virtualRanks: 2, hi: 2})
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "maxCorrupt") || !refused && steps == 0 {
			t.Errorf("2 corrupt samples, %d allowed: %v after %d steps", allowed, err, steps)
		}
	}
}
