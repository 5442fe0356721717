// Package planner decides what a coordinator leader does next: which job gets which workers, when a generation is over and why. It is a
// pure function of the agreed state and of what the leader has heard from the workers; it has no clock and no memory.
package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sslctl/sslctl/coordinator/state"
)

// Phase is where a worker says that it is with its assignment.
type Phase string

// The phases of a worker.
const (
	Idle      Phase = ""
	Preparing Phase = "preparing"
	Ready     Phase = "ready"
	Running   Phase = "running"
	Stopped   Phase = "stopped"
	Finished  Phase = "finished"
	Failed    Phase = "failed"
)

// Observation is what the leader knows of one worker process beside the agreed state.
type Observation struct {
	Incarnation uint64        // whose observation this is
	Heard       bool          // since this leader leads
	Age         time.Duration // since its last heartbeat; before the first one, since the leader's grace for it began
	Interval    time.Duration // between heartbeats, as it was last told
	Leaving     bool          // it wants no more work; what it has goes on until Idle
	Idle        bool          // its last heartbeat was about no assignment
	Report      Report        // its last one that was not idle, if Heard
}

// Report is a worker's view of its assignment.
type Report struct {
	Job, Generation uint64
	Phase           Phase
	Detail          string
	Step            uint64 // finished
	Figures         state.Figures
	Samples         uint64
	RingBytesSent   uint64
	BankBytes       uint64
	Failure         *Failure      // always with Failed
	FailureAge      time.Duration // since the leader first heard of the Failure
}

// Failure says why a worker gave up.
type Failure struct {
	Permanent bool
	Message   string
}

// Knobs are the cluster's settings that the planner needs.
type Knobs struct {
	DetectWithin  time.Duration // silence after which a worker without a job is lost
	ForgetAfter   time.Duration // silence after which a worker without a job is dropped
	FruitlessMost int           // generations in a row without a committed step that fail a job
}

// Decision is what to do, and the reason of each job that waits for something, by UID.
type Decision struct {
	Commands []state.Command
	Reasons  map[uint64]string
}

// planning is one Plan under way.
type planning struct {
	s        *state.State
	seen     map[string]Observation // by worker id
	knobs    Knobs
	nowMS    int64
	taken    map[string]*state.Job // workers that a job has or gets
	held     map[string]*state.Job // free workers that a waiting job keeps from those of lower priority
	decision Decision
}

// Plan decides. The commands are made for state s and hold no more than one for each job; apply them in order and plan again.
func Plan(s *state.State, seen map[string]Observation, knobs Knobs, nowMS int64) Decision {
	p := newPlanning(s, seen, knobs, nowMS)
	p.run()
	return p.decision
}

func newPlanning(s *state.State, seen map[string]Observation, knobs Knobs, nowMS int64) *planning {
	return &planning{
		s: s, seen: seen, knobs: knobs, nowMS: nowMS, taken: map[string]*state.Job{}, held: map[string]*state.Job{},
		decision: Decision{Reasons: map[uint64]string{}},
	}
}

// run walks the jobs in descending priority, then in order of submission.
func (p *planning) run() {
	s := p.s
	jobs := slices.DeleteFunc(s.ByUID(), func(j *state.Job) bool { return j.State.Ended() })
	slices.SortStableFunc(jobs, func(a, b *state.Job) int { return cmp.Compare(b.Priority, a.Priority) })
	for _, j := range jobs {
		if !j.State.Active() {
			continue
		}
		for _, m := range j.Members {
			if w := s.Workers[m.Worker]; w != nil && w.Incarnation == m.Incarnation {
				p.taken[m.Worker] = j
			}
		}
	}
	for _, j := range jobs {
		switch {
		case j.State.Active():
			p.judge(j)
		case j.State == state.Waiting:
			p.place(j)
		}
	}
	p.watch()
}

func (p *planning) command(c state.Command) {
	c.NowMS = p.nowMS
	p.decision.Commands = append(p.decision.Commands, c)
}

// observe is what is known of a worker process; Heard is false if nothing is.
func (p *planning) observe(worker string, incarnation uint64) Observation {
	if o, ok := p.seen[worker]; ok && o.Incarnation == incarnation {
		return o
	}
	return Observation{Incarnation: incarnation}
}

// Silence is how long a worker may be silent before job j, or with nil the cluster, takes it for lost. A worker that was told long
// intervals before a job with a short limit came has them excused.
func Silence(j *state.Job, o Observation, cluster time.Duration) time.Duration {
	limit := cluster
	if j != nil {
		limit = time.Duration(j.Need.DetectWithinMS) * time.Millisecond
	}
	return max(limit, 3*o.Interval)
}

// Lost tells whether job j, or with nil the cluster, takes a worker for lost.
func Lost(j *state.Job, o Observation, cluster time.Duration) bool {
	return o.Age > Silence(j, o, cluster)
}

func (p *planning) lost(j *state.Job, o Observation) bool { return Lost(j, o, p.knobs.DetectWithin) }

// watch notes which workers are lost and which are heard again, and drops those that are gone and that no job has.
func (p *planning) watch() {
	for _, w := range p.s.ByID() {
		o := p.observe(w.ID, w.Incarnation)
		silent := p.lost(nil, o)
		switch gone := o.Age > p.knobs.ForgetAfter || (o.Leaving && silent); {
		case gone && p.taken[w.ID] == nil:
			p.command(state.Command{Forget: &state.Forget{ID: w.ID, Incarnation: w.Incarnation}})
		case silent && w.LostMS == 0 && !o.Leaving:
			why := "silent for more than " + seconds(Silence(nil, o, p.knobs.DetectWithin))
			p.command(state.Command{Lose: &state.Lose{ID: w.ID, Incarnation: w.Incarnation, Why: why}})
		case !silent && o.Heard && w.LostMS != 0:
			p.command(state.Command{Find: &state.Find{ID: w.ID, Incarnation: w.Incarnation}})
		}
	}
}

// FinalOf gathers what was last heard from the members of j's current generation.
func FinalOf(j *state.Job, seen map[string]Observation) *state.Final {
	final := &state.Final{Figures: j.Last, Members: make([]state.MemberFigure, len(j.Members))}
	for i, m := range j.Members {
		r, ok := reportOf(j, m, seen)
		if !ok {
			continue
		}
		final.Step = max(final.Step, r.Step)
		if f := r.Figures; i == 0 && (f.Loss != 0 || f.SamplesPerSecond != 0 || len(f.Metrics) > 0) { // it has done a step
			final.Figures = f
		}
		final.Members[i] = state.MemberFigure{
			Samples: r.Samples, RingBytesSent: r.RingBytesSent, BankBytes: r.BankBytes, Phase: string(r.Phase), Detail: r.Detail,
		}
	}
	return final
}

// reportOf is the last report of a member about j's current generation.
func reportOf(j *state.Job, m state.Member, seen map[string]Observation) (Report, bool) {
	o, ok := seen[m.Worker]
	if !ok || !o.Heard || o.Incarnation != m.Incarnation || o.Report.Job != j.UID || o.Report.Generation != j.Generation {
		return Report{}, false
	}
	return o.Report, true
}

// seconds prints a duration for people: "2.1 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
