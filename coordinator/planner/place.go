package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/sslctl/sslctl/coordinator/state"
)

// place starts a waiting job, all or nothing, or says what it waits for.
func (p *planning) place(j *state.Job) {
	chosen, numerics, short := p.choose(j)
	if short != "" {
		if j.Reason != "" {
			short = j.Reason + "; " + short
		}
		p.decision.Reasons[j.UID] = short
		p.noteWait(j, short)
		p.hold(j)
		return
	}
	why := "submitted"
	switch {
	case j.Reason != "":
		why = "enough workers are free again after: " + j.Reason
	case j.Generation > 0:
		why = "resumed"
	}
	p.start(j, chosen, numerics, why, true)
}

// noteEvery is how often at most it is committed that a job waits for something else than before. What it waits for now is always told.
const noteEvery = time.Minute

// noteWait makes it an event that a job waits: at once, and then when its reason has changed, but seldom, since each costs an entry of the log.
func (p *planning) noteWait(j *state.Job, why string) {
	if w := j.Waits; w != nil && (w.For == why || p.nowMS-w.AtMS < noteEvery.Milliseconds()) {
		return
	}
	p.command(state.Command{Wait: &state.Wait{Job: j.UID, For: why}})
}

func (p *planning) start(j *state.Job, chosen []*state.Worker, numerics, why string, blameless bool) {
	members := make([]state.Member, len(chosen))
	for r, w := range chosen {
		lo, hi := state.Ownership(r, len(chosen), j.Need.VirtualRanks)
		members[r] = state.Member{Worker: w.ID, Incarnation: w.Incarnation, Lo: lo, Hi: hi}
		p.taken[w.ID] = j
	}
	from := j.Newest()
	var final *state.Final
	if j.State.Active() {
		final = FinalOf(j, p.seen)
	}
	p.command(state.Command{Start: &state.Start{
		Job: j.UID, Generation: j.Generation + 1, Members: members, StartStep: from.Step,
		Source: state.Source{URI: from.URI, Digest: from.Digest}, Numerics: numerics, Reason: why, Blameless: blameless, Final: final,
	}})
}

// choose picks the workers of j's next generation, in rank order: first the members of the current one that are still there, in their
// order, then free ones by id; and the numerics profile. If there are too few it says so.
func (p *planning) choose(j *state.Job) (chosen []*state.Worker, numerics, short string) {
	var candidates []*state.Worker
	if j.State.Active() {
		for _, m := range j.Members {
			if w := p.s.Workers[m.Worker]; w != nil && w.Incarnation == m.Incarnation && p.standing(j, w) == own {
				candidates = append(candidates, w)
			}
		}
	}
	for _, w := range p.s.ByID() {
		if p.standing(j, w) == free {
			candidates = append(candidates, w)
		}
	}
	most := min(j.Need.WorkersMax, j.Need.VirtualRanks)
	numerics = j.Numerics
	if numerics == "" {
		numerics = bestProfile(candidates, most)
	}
	chosen = slices.DeleteFunc(candidates, func(w *state.Worker) bool { return !slices.Contains(w.Numerics, numerics) })
	chosen = chosen[:min(len(chosen), most)]
	if len(chosen) < j.Need.WorkersMin {
		return nil, "", p.shortage(j)
	}
	return chosen, numerics, ""
}

// bestProfile is the profile that most of the first `most` workers have in common; of several, the one that the workers themselves like best
// (least sum of places in their lists), then the first by name.
func bestProfile(workers []*state.Worker, most int) string {
	type score struct {
		name          string
		count, places int
	}
	scores := map[string]*score{}
	var list []*score
	for _, w := range workers {
		for place, name := range w.Numerics {
			s := scores[name]
			if s == nil {
				s = &score{name: name}
				scores[name] = s
				list = append(list, s)
			}
			if s.count < most {
				s.count++
				s.places += place
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	return slices.MinFunc(list, func(a, b *score) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.places, b.places), cmp.Compare(a.name, b.name))
	}).name
}
