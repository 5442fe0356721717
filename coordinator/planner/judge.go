package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sslctl/sslctl/coordinator/state"
)

// judge looks at the current generation of a job: is it done, broken, stopped, still getting ready?
func (p *planning) judge(j *state.Job) {
	reports := make([]Report, len(j.Members))
	for i, m := range j.Members {
		reports[i], _ = reportOf(j, m, p.seen)
	}
	for i, r := range reports {
		if r.Failure != nil && r.Failure.Permanent {
			p.end(j, state.Failed, fmt.Sprintf("worker %s: %s", j.Members[i].Worker, r.Failure.Message), false)
			return
		}
	}
	if all(reports, func(r Report) bool { return r.Phase == Finished }) {
		if p.finished(j) {
			return
		}
	}
	if stopped(j, reports) {
		if j.State == state.Pausing {
			p.end(j, state.Paused, "", true)
		} else {
			p.renew(j, j.Reform, true)
		}
		return
	}
	if b := p.broken(j, reports); b.why != "" {
		if unsettled := p.unsettled(j, reports); unsettled != "" {
			p.decision.Reasons[j.UID] = fmt.Sprintf("%s; listening whether %s is alive", b.why, unsettled)
			return
		}
		if whole := p.pauseBefore(j, b); whole > 0 {
			p.decision.Reasons[j.UID] = fmt.Sprintf("%s; the next generation is tried %s after this one began", b.why, whole)
			return
		}
		p.renew(j, b.why, b.blameless)
		return
	}
	if j.State != state.Pausing && p.unsettled(j, reports) == "" && p.reform(j, reports) {
		return
	}
	if j.State == state.Starting && all(reports, func(r Report) bool { return r.Phase == Running || r.Phase == Finished }) {
		p.command(state.Command{MarkRunning: &state.MarkRunning{Job: j.UID, Generation: j.Generation}})
		return
	}
	if waits := waitsFor(j, reports); waits != "" {
		if j.Reform != "" && j.State != state.Pausing {
			waits = j.Reform + "; " + waits
		}
		p.decision.Reasons[j.UID] = waits
	}
}

// reform has a sound generation make place for another one, if it should: at the next step boundary, or at once if it has done nothing yet.
func (p *planning) reform(j *state.Job, reports []Report) bool {
	why := cmp.Or(j.Reform, p.unsuitable(j))
	switch {
	case why == "":
		return false
	case !begun(j, reports):
		p.renew(j, why, true)
		return true
	case j.Reform == "":
		p.command(state.Command{Reform: &state.Reform{Job: j.UID, Generation: j.Generation, Reason: why}})
		return true
	}
	return false
}

// stopped tells whether all members have stopped at one step, as they were asked to, and everything up to there is committed: the next
// generation will repeat nothing.
func stopped(j *state.Job, reports []Report) bool {
	step := reports[0].Step
	return j.Stopping() && step == j.Committed() && step == j.Newest().Step && len(j.Checkpoints) > 0 &&
		all(reports, func(r Report) bool { return r.Phase == Stopped && r.Step == step })
}

// begun tells whether the members may have done a step.
func begun(j *state.Job, reports []Report) bool {
	return j.State != state.Starting || all(reports, func(r Report) bool { return r.Phase == Running }) ||
		slices.ContainsFunc(reports, func(r Report) bool { return r.Step > j.StartStep })
}

// unsuitable tells why a sound generation should make place for another one, at a step boundary; it is empty if it should not.
func (p *planning) unsuitable(j *state.Job) string {
	var list []string
	for _, m := range j.Members {
		switch {
		case p.observe(m.Worker, m.Incarnation).Leaving:
			list = append(list, fmt.Sprintf("worker %s is leaving", m.Worker))
		case p.s.Cordons[m.Worker].Drain:
			list = append(list, fmt.Sprintf("worker %s is draining", m.Worker))
		}
	}
	switch n := len(j.Members); {
	case n < j.Need.WorkersMin:
		list = append(list, fmt.Sprintf("the job is to have at least %d workers", j.Need.WorkersMin))
	case n > j.Need.WorkersMax:
		list = append(list, fmt.Sprintf("the job is to have at most %d %s", j.Need.WorkersMax, plural(j.Need.WorkersMax, "worker", "workers")))
	}
	return strings.Join(list, "; ")
}

// finished completes a job whose members are all done, once everything is committed.
func (p *planning) finished(j *state.Job) bool {
	switch {
	case complete(j):
		p.end(j, state.Completed, "", true)
		return true
	case j.Plan == nil || j.Committed() < j.Plan.StepsTotal:
		p.decision.Reasons[j.UID] = fmt.Sprintf("all workers have finished; waiting for rank 0 to report the ledger after step %d", j.Committed())
	default:
		p.decision.Reasons[j.UID] = "all workers have finished; waiting for rank 0 to name the exported encoder"
	}
	return false
}

// complete tells whether everything that rank 0 has to report is committed.
func complete(j *state.Job) bool {
	return j.Plan != nil && j.Committed() == j.Plan.StepsTotal && j.Exported != ""
}

// breakage is why a generation cannot go on.
type breakage struct {
	why       string // empty: nothing is broken
	blameless bool   // only because workers were asked to leave
	failure   bool   // only because of what workers have reported, all of which are there
}

func (b *breakage) add(blameless, failure bool, format string, args ...any) {
	if b.why == "" {
		b.blameless, b.failure = true, true
	} else {
		b.why += "; "
	}
	b.why += fmt.Sprintf(format, args...)
	b.blameless = b.blameless && blameless
	b.failure = b.failure && failure
}

// broken tells why a generation cannot go on. A member that has finished its part, or has stopped as asked, is not missed.
func (p *planning) broken(j *state.Job, reports []Report) breakage {
	var b breakage
	for i, m := range j.Members {
		if reports[i].Phase == Finished && (i != 0 || complete(j)) || reports[i].Phase == Stopped && j.Stopping() && i != 0 {
			continue
		}
		o := p.observe(m.Worker, m.Incarnation)
		w := p.s.Workers[m.Worker]
		switch {
		case w == nil || w.Incarnation != m.Incarnation:
			b.add(false, false, "worker %s was restarted", m.Worker)
		case p.lost(j, o):
			b.add(false, false, "worker %s is lost: silent for more than %s", m.Worker, seconds(Silence(j, o, p.knobs.DetectWithin)))
		case o.Leaving && o.Idle:
			b.add(true, false, "worker %s has left", m.Worker)
		case reports[i].Failure != nil:
			b.add(false, true, "worker %s: %s", m.Worker, reports[i].Failure.Message)
		}
	}
	if j.Stopping() && b.why == "" && all(reports, func(r Report) bool { return r.Phase == Stopped }) &&
		!all(reports, func(r Report) bool { return r.Step == reports[0].Step }) {
		b.add(true, false, "the workers stopped at different steps")
	}
	return b
}

// pauseMost bounds the time between the starts of two fruitless generations.
const pauseMost = 30 * time.Second

// pauseBefore is how long after this generation began the next one may start, or 0 if it may start now. What workers report without one of them being gone is mostly trouble with
// something that they share (the message bus, the object store) and that needs time; so a generation that is as fruitless as the one
// before lasts at least detectWithin, the next one twice as long, and so on.
func (p *planning) pauseBefore(j *state.Job, b breakage) time.Duration {
	if !b.failure || j.Progressed || j.Fruitless == 0 || j.State == state.Pausing || j.Fruitless+1 >= p.knobs.FruitlessMost {
		return 0
	}
	whole := min(Silence(j, Observation{}, p.knobs.DetectWithin)<<min(j.Fruitless-1, 8), pauseMost)
	if p.nowMS-j.BegunMS >= whole.Milliseconds() {
		return 0
	}
	return whole
}

// unsettled names a member of which it is not known yet whether it survived a failure that another has reported: neither lost nor heard
// since, or not heard at all by a new leader. When a ring breaks because a worker died, its neighbours tell before its silence does; to take it into the next generation
// would break that one too.
func (p *planning) unsettled(j *state.Job, reports []Report) string {
	first := time.Duration(-1)
	for _, r := range reports {
		if r.Failure != nil {
			first = max(first, r.FailureAge)
		}
	}
	for _, m := range j.Members {
		o := p.observe(m.Worker, m.Incarnation)
		w := p.s.Workers[m.Worker]
		if w == nil || w.Incarnation != m.Incarnation || o.Leaving || p.lost(j, o) {
			continue
		}
		if !o.Heard || (first >= 0 && o.Age > first) {
			return "worker " + m.Worker
		}
	}
	return ""
}

// renew follows a broken generation by the next one, or by a wait, or by the job's failure.
func (p *planning) renew(j *state.Job, why string, blameless bool) {
	if j.State == state.Pausing {
		p.end(j, state.Paused, fmt.Sprintf("%s while the job paused; it will continue from step %d", why, j.Newest().Step), true)
		return
	}
	fruitless := j.Fruitless
	if !j.Progressed && !blameless {
		fruitless++
	}
	if fruitless >= p.knobs.FruitlessMost {
		p.end(j, state.Failed, fmt.Sprintf("%d generations in a row committed no step; the last one ended because %s", fruitless, why), false)
		return
	}
	chosen, numerics, short := p.choose(j)
	if short != "" {
		p.decision.Reasons[j.UID] = why + "; " + short
		p.end(j, state.Waiting, why, blameless)
		return
	}
	p.start(j, chosen, numerics, why, blameless)
}

func (p *planning) end(j *state.Job, to state.JobState, reason string, blameless bool) {
	p.command(state.Command{EndGeneration: &state.EndGeneration{
		Job: j.UID, Generation: j.Generation, To: to, Reason: reason, Blameless: blameless, Final: FinalOf(j, p.seen),
	}})
}

// waitsFor says which members a generation that starts or pauses waits for.
func waitsFor(j *state.Job, reports []Report) string {
	var verb string
	var done []Phase
	switch {
	case j.Stopping():
		verb, done = "stopping", []Phase{Stopped, Finished}
	case j.State == state.Starting:
		verb, done = "preparing", []Phase{Ready, Running, Finished}
	default:
		return ""
	}
	var waits, details []string // of each detail, who has it
	for i, m := range j.Members {
		// Who is ready still reads its data before it runs; what that waits for is worth telling.
		opening := verb == "preparing" && reports[i].Phase == Ready && reports[i].Detail != ""
		if slices.Contains(done, reports[i].Phase) && !opening {
			continue
		}
		if at := slices.Index(details, reports[i].Detail); at >= 0 && reports[i].Detail != "" {
			waits[at] += " and " + m.Worker
			continue
		}
		waits, details = append(waits, m.Worker), append(details, reports[i].Detail)
	}
	if len(waits) == 0 {
		return ""
	}
	for i, detail := range details {
		if detail != "" {
			waits[i] += " (" + detail + ")"
		}
	}
	return verb + ": " + strings.Join(waits, ", ")
}

func all(reports []Report, f func(Report) bool) bool {
	return !slices.ContainsFunc(reports, func(r Report) bool { return !f(r) })
}
