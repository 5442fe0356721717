package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/coordinator/state"
)

// standing is what a worker is to a job.
type standing int

const (
	own           standing = iota // the job has it, and may keep it
	free                          // the job may take it
	busy                          // another job has it
	held                          // free, but for a job of higher priority that waits
	draining                      // its job goes on without it, and no other may have it
	drained                       // no job has it or may have it
	cordoned                      // it gets no new work
	leaving                       // it wants no more work
	lost                          // silent for too long
	unheard                       // this leader is new and has not heard from it yet
	otherLabels                   // it has not what the job's selector asks for
	otherNumerics                 // it cannot run the job's profile
)

// standing is what w is to j. What will not change comes before what may.
func (p *planning) standing(j *state.Job, w *state.Worker) standing {
	o := p.observe(w.ID, w.Incarnation)
	cordon, kept := p.s.Cordons[w.ID]
	mine := member(j, w)
	switch {
	case j.Numerics != "" && !slices.Contains(w.Numerics, j.Numerics):
		return otherNumerics
	case !j.Need.Selects(w.Labels):
		return otherLabels
	case p.lost(j, o):
		return lost
	case o.Leaving:
		return leaving
	case cordon.Drain && p.taken[w.ID] != nil:
		return draining
	case cordon.Drain:
		return drained
	case kept && !mine:
		return cordoned
	case !o.Heard:
		return unheard
	case mine:
		return own
	case p.taken[w.ID] != nil:
		return busy
	case p.held[w.ID] != nil && p.held[w.ID].Priority > j.Priority:
		return held
	}
	return free
}

// member tells whether j has worker process w now.
func member(j *state.Job, w *state.Worker) bool {
	return j.State.Active() && slices.ContainsFunc(j.Members, func(m state.Member) bool { return m.Worker == w.ID && m.Incarnation == w.Incarnation })
}

// hold keeps the free workers that j could use from jobs of lower priority, up to the number that it needs. A job that the workers of now
// could not satisfy even if all were free holds none: they would stand idle for what may never come.
func (p *planning) hold(j *state.Job) {
	var able, now []*state.Worker
	for _, w := range p.s.ByID() {
		switch p.standing(j, w) {
		case free:
			able, now = append(able, w), append(now, w)
		case busy, held:
			able = append(able, w)
		}
	}
	numerics := j.Numerics
	if numerics == "" {
		numerics = bestProfile(able, len(able))
	}
	cannot := func(w *state.Worker) bool { return !slices.Contains(w.Numerics, numerics) }
	if len(slices.DeleteFunc(able, cannot)) < j.Need.WorkersMin {
		return
	}
	now = slices.DeleteFunc(now, cannot)
	for _, w := range now[:min(len(now), j.Need.WorkersMin)] {
		if p.held[w.ID] == nil {
			p.held[w.ID] = j
		}
	}
}

// requirement says what j needs at least: "4 workers with numerics amd64-fma/1 and labels rack=4".
func requirement(j *state.Job) string {
	return fmt.Sprintf("%d %s%s", j.Need.WorkersMin, plural(j.Need.WorkersMin, "worker", "workers"), conditions(j))
}

// conditions says what the workers of j must have: " with numerics amd64-fma/1 and labels rack=4".
func conditions(j *state.Job) string {
	var list []string
	if j.Numerics != "" {
		list = append(list, "numerics "+j.Numerics)
	}
	if len(j.Need.Selector) > 0 {
		list = append(list, "labels "+labels(j.Need.Selector))
	}
	if len(list) == 0 {
		return ""
	}
	return " with " + strings.Join(list, " and ")
}

// labels lists labels by name: "rack=4,zone=b".
func labels(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, ",")
}

// shortage says what j needs and what there is, counted by what the workers are to j.
func (p *planning) shortage(j *state.Job) string {
	count, heldFor, numerics := map[standing]int{}, map[string]int{}, map[string]int{}
	for _, w := range p.s.ByID() {
		at := p.standing(j, w)
		if at == own {
			at = free
		}
		count[at]++
		switch at {
		case held:
			heldFor[p.held[w.ID].Name]++
		case otherNumerics:
			numerics[strings.Join(w.Numerics, " ")]++
		}
	}
	need := "needs " + requirement(j) + "; "
	if len(p.s.Workers) == 0 {
		return need + "no worker is registered"
	}
	is := func(n int, what string) string { return fmt.Sprintf("%d %s %s", n, plural(n, "is", "are"), what) }
	list := []string{is(count[free], "free")}
	add := func(at standing, what string) {
		if n := count[at]; n > 0 {
			list = append(list, is(n, what))
		}
	}
	add(busy, "busy")
	for _, name := range slices.Sorted(maps.Keys(heldFor)) {
		list = append(list, is(heldFor[name], "held for job "+name))
	}
	add(draining, "draining")
	add(drained, "drained")
	add(cordoned, "cordoned")
	add(leaving, "leaving")
	add(lost, "lost")
	if n := count[unheard]; n > 0 {
		list = append(list, fmt.Sprintf("%d %s not heard from since the leader changed", n, plural(n, "was", "were")))
	}
	if n := count[otherLabels]; n > 0 {
		list = append(list, fmt.Sprintf("%d %s other labels", n, plural(n, "has", "have")))
	}
	for _, profiles := range slices.Sorted(maps.Keys(numerics)) {
		n := numerics[profiles]
		list = append(list, fmt.Sprintf("%d %s other numerics (%s)", n, plural(n, "has", "have"), profiles))
	}
	text := need + strings.Join(list, ", ")
	if j.Numerics == "" && count[free] >= j.Need.WorkersMin {
		text += ", too few of them with a numerics profile in common"
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
