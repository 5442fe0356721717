package planner

import (
	"fmt"
	"maps"

	"github.com/sslctl/sslctl/coordinator/state"
)

// Scaling is why the current generation of job j should make place for another one if the job is to have least to most workers: it has too
// few, too many, or could have more at once. It is empty if it should not.
func Scaling(s *state.State, seen map[string]Observation, knobs Knobs, nowMS int64, j *state.Job, least, most int) string {
	if !j.State.Active() {
		return ""
	}
	scaled := *j
	scaled.Need.WorkersMin, scaled.Need.WorkersMax = least, most
	next := *s
	next.Jobs = maps.Clone(s.Jobs)
	next.Jobs[j.UID] = &scaled
	p := newPlanning(&next, seen, knobs, nowMS)
	if why := p.unsuitable(&scaled); why != "" {
		return why
	}
	p.run()
	if chosen, _, _ := p.choose(&scaled); len(chosen) > len(j.Members) {
		return fmt.Sprintf("scaled up from %d %s, to at most %d", len(j.Members), plural(len(j.Members), "worker", "workers"), most)
	}
	return ""
}
