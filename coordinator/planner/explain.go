package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/coordinator/state"
)

// Explanation is what an operator needs to know of a job beside its state and reason.
type Explanation struct {
	Needs   string    // how many workers, with what
	Workers []Verdict // by id; none if the job has ended
	Next    []string  // what comes next, and what can be done
}

// Verdict says what a worker is to a job.
type Verdict struct {
	Worker    string
	TakesPart bool
	Can       bool // it takes part, or could at once
	Why       string
}

// Explain explains a job of s. It judges workers as Plan does.
func Explain(s *state.State, seen map[string]Observation, knobs Knobs, nowMS int64, j *state.Job) Explanation {
	p := newPlanning(s, seen, knobs, nowMS)
	p.run()
	e := Explanation{Needs: needs(j)}
	if j.State.Ended() {
		e.Next = ended(j)
		return e
	}
	able := 0 // workers that could be the job's if everyone else made place
	count := map[standing][]string{}
	for _, w := range s.ByID() {
		at := p.standing(j, w)
		count[at] = append(count[at], w.ID)
		if at <= held {
			able++
		}
		e.Workers = append(e.Workers, Verdict{Worker: w.ID, TakesPart: at == own, Can: at <= free, Why: p.why(j, w, at)})
	}
	switch {
	case j.State == state.Waiting:
		e.Next = p.waiting(j, able, count)
	case j.State == state.Paused:
		e.Next = []string{fmt.Sprintf("it waits to be resumed: sslctl resume %s continues it from step %d", j.Name, j.Newest().Step)}
	case j.State == state.Pausing:
		e.Next = []string{"its workers store a checkpoint at the next step boundary; then it is paused"}
	case j.Reform != "":
		e.Next = []string{"its workers store a checkpoint at the next step boundary; then it goes on with those that fit, and no step is repeated"}
	case j.State == state.Starting:
		e.Next = []string{"its workers open the data and load the state; it runs when all are ready"}
	default:
		e.Next = []string{"nothing to do: it runs until its last step"}
		if n, most := len(j.Members), j.Need.WorkersMax; n < most && len(count[free]) > 0 {
			e.Next = append(e.Next, fmt.Sprintf("it has %d of at most %d workers, and others are free: sslctl scale %s --max %d takes them at the next step boundary",
				n, most, j.Name, most))
		}
	}
	return e
}

// needs is what a job needs, in words.
func needs(j *state.Job) string {
	text := requirement(j)
	if least, most := j.Need.WorkersMin, j.Need.WorkersMax; most > least {
		text = fmt.Sprintf("%d to %d workers%s", least, most, conditions(j))
	}
	if j.Numerics == "" {
		text += ", all of one numerics profile"
	}
	return text
}

// why says in words what w is to j.
func (p *planning) why(j *state.Job, w *state.Worker, at standing) string {
	o := p.observe(w.ID, w.Incarnation)
	switch at {
	case own:
		_, rank := p.s.Assigned(w.ID, w.Incarnation)
		return fmt.Sprintf("takes part as rank %d", rank)
	case busy:
		other := p.taken[w.ID]
		return fmt.Sprintf("busy with job %s (priority %d)", other.Name, other.Priority)
	case held:
		other := p.held[w.ID]
		return fmt.Sprintf("held for job %s, which waits with priority %d", other.Name, other.Priority)
	case draining:
		return "draining: no job may have it until sslctl worker uncordon " + w.ID
	case drained:
		return "drained: no job may have it until sslctl worker uncordon " + w.ID
	case cordoned:
		return "cordoned: no new work until sslctl worker uncordon " + w.ID
	case leaving:
		return "its process shuts down"
	case lost:
		return "silent for " + seconds(o.Age)
	case unheard:
		return "not heard from since the leader changed"
	case otherLabels:
		return fmt.Sprintf("has %s, needed are %s", cmp.Or(labels(w.Labels), "no labels"), labels(j.Need.Selector))
	case otherNumerics:
		return fmt.Sprintf("runs %s, the job's result is pinned to %s", strings.Join(w.Numerics, ", "), j.Numerics)
	}
	return "free"
}

// waiting is what can be done for a job that waits; able workers could be its own if everyone else made place.
func (p *planning) waiting(j *state.Job, able int, count map[standing][]string) []string {
	list := []string{fmt.Sprintf("it starts by itself as soon as %d %s can take it", j.Need.WorkersMin, plural(j.Need.WorkersMin, "worker", "workers"))}
	kept := slices.Concat(count[draining], count[drained], count[cordoned])
	switch missing := j.Need.WorkersMin - able; {
	case missing <= 0:
		for _, other := range p.s.ByUID() {
			if other.State.Active() && len(count[busy]) > 0 && p.has(other, count[busy]) {
				list = append(list, fmt.Sprintf("job %s (priority %d) has workers that it could take: wait for its end, or sslctl pause %s", other.Name, other.Priority, other.Name))
			}
		}
	case missing > len(kept)+len(count[lost]):
		list = append(list, "too few workers exist: start more that fit")
	}
	if able > 0 && able < j.Need.WorkersMin {
		list = append(list, fmt.Sprintf("to make do with the %d that it may have: sslctl scale %s --min %d", able, j.Name, able))
	}
	if len(kept) > 0 {
		list = append(list, "workers kept from work: sslctl worker uncordon "+strings.Join(kept, " or "))
	}
	if ids := count[lost]; len(ids) > 0 {
		list = append(list, "workers that are lost: restart "+strings.Join(ids, ", "))
	}
	return list
}

// has tells whether one of the workers is with job j.
func (p *planning) has(j *state.Job, workers []string) bool {
	for _, id := range workers {
		if p.taken[id] != nil && p.taken[id].UID == j.UID {
			return true
		}
	}
	return false
}

// ended is what can be done with a job that has ended.
func ended(j *state.Job) []string {
	remove := fmt.Sprintf("sslctl delete %d removes it from the list", j.UID)
	switch j.State {
	case state.Completed:
		return []string{fmt.Sprintf("sslctl export %d FILE writes its encoder", j.UID), remove}
	case state.Failed:
		return []string{
			fmt.Sprintf("mend what the reason says, then sslctl resume %d goes on from step %d; for another job file, submit it anew: its name is free", j.UID, j.Newest().Step),
			remove,
		}
	}
	return []string{"submit it again to start anew; its name is free", remove}
}
