package planner_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
)

// simWorker is a worker in virtual time. It does one step each tick in which all members of its generation run.
type simWorker struct {
	id          string
	incarnation uint64
	frozenUntil int64 // tick; a killed worker comes back then as a new process
	killed      bool
	leaving     bool
	orderly     bool // with leaving: it ends when it has no job
	report      planner.Report
}

// simTick is the time between heartbeats.
const simTick = 250 * time.Millisecond

// TestFaultsDelayJobsAndNothingElse runs jobs on workers that are killed, frozen, asked to leave, that report failures, under leaders that
// change, with pauses and resumptions. When the faults end, every job completes, with all its steps committed once.
func TestFaultsDelayJobsAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sim := &simulation{cluster: newCluster(), t: t}
		sim.knobs.FruitlessMost = 1000 // faults come faster here than steps
		for i := range rapid.IntRange(2, 5).Draw(t, "workers") {
			sim.workers = append(sim.workers, &simWorker{id: fmt.Sprint("w", i), incarnation: 1})
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "jobs") {
			sim.apply(state.Command{Submit: &state.Submit{Name: fmt.Sprint("job", i), Priority: i % 2, Need: state.Requirements{
				WorkersMin: rapid.IntRange(1, 2).Draw(t, "min"), WorkersMax: 3, VirtualRanks: 4, Numerics: state.AutoNumerics, DetectWithinMS: 2000, GlobalBatch: 10,
			}}})
		}
		for range rapid.IntRange(0, 200).Draw(t, "ticks of faults") {
			sim.fault()
			sim.tick()
		}
		for ticks := 0; !sim.done(); ticks++ {
			if ticks > 4000 {
				t.Fatalf("jobs do not end: %v\n%s", sim.reasons, sim.out.String())
			}
			sim.calm()
			sim.tick()
		}
		for _, j := range sim.s.ByUID() {
			if j.State != state.Completed || j.Committed() != 40 || j.Exported == "" {
				t.Fatalf("job %s is %s at step %d: %s\n%s", j.Name, j.State, j.Committed(), j.Reason, sim.out.String())
			}
		}
	})
}

// TestOrderlyChangesRepeatNothing drains, cordons, scales and pauses, and asks workers to leave, which end when they have no job any more. All
// jobs complete, and none has done a step twice.
func TestOrderlyChangesRepeatNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sim := &simulation{cluster: newCluster(), t: t}
		for i := range rapid.IntRange(2, 5).Draw(t, "workers") {
			sim.workers = append(sim.workers, &simWorker{id: fmt.Sprint("w", i), incarnation: 1})
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "jobs") {
			sim.apply(state.Command{Submit: &state.Submit{Name: fmt.Sprint("job", i), Priority: i % 2, Need: state.Requirements{
				WorkersMin: 1, WorkersMax: 3, VirtualRanks: 4, Numerics: state.AutoNumerics, DetectWithinMS: 2000, GlobalBatch: 10,
			}}})
		}
		for ticks := 0; !sim.done(); ticks++ {
			if ticks > 4000 {
				t.Fatalf("jobs do not end: %v\n%s", sim.reasons, sim.out.String())
			}
			if ticks < 100 {
				sim.change()
			} else {
				sim.calm()
			}
			sim.tick()
		}
		for _, j := range sim.s.ByUID() {
			if j.State != state.Completed || j.Committed() != 40 || j.Repeated != 0 {
				t.Fatalf("job %s is %s at step %d, %d repeated: %s\n%s", j.Name, j.State, j.Committed(), j.Repeated, j.Reason, sim.out.String())
			}
		}
	})
}

// change is what an operator might do.
func (sim *simulation) change() {
	jobs := sim.s.ByUID()
	w := sim.workers[rapid.IntRange(0, len(sim.workers)-1).Draw(sim.t, "worker")]
	job := jobs[rapid.IntRange(0, len(jobs)-1).Draw(sim.t, "job")]
	switch rapid.IntRange(0, 20).Draw(sim.t, "change") {
	case 0:
		sim.apply(state.Command{Cordon: &state.Cordoning{Worker: w.id, Drain: true}})
	case 1:
		sim.apply(state.Command{Cordon: &state.Cordoning{Worker: w.id}})
	case 2, 3:
		sim.apply(state.Command{Uncordon: &state.Uncordon{Worker: w.id}})
	case 4, 5:
		least := rapid.IntRange(1, 3).Draw(sim.t, "min")
		most := rapid.IntRange(least, 4).Draw(sim.t, "max")
		why := planner.Scaling(sim.s, sim.seen, sim.knobs, sim.nowMS, job, least, most)
		sim.apply(state.Command{Scale: &state.Scale{Job: job.UID, WorkersMin: least, WorkersMax: most, Reform: why}})
	case 6:
		sim.apply(state.Command{Pause: &state.Pause{Job: job.UID, Final: planner.FinalOf(job, sim.seen)}})
	case 7:
		sim.apply(state.Command{Resume: &state.Resume{Job: job.UID}})
	case 8:
		w.leaving, w.orderly = true, true
	}
}

// calm takes back what keeps jobs from completing.
func (sim *simulation) calm() {
	for _, w := range sim.workers {
		sim.apply(state.Command{Uncordon: &state.Uncordon{Worker: w.id}})
	}
	for _, j := range sim.s.ByUID() {
		sim.apply(state.Command{Resume: &state.Resume{Job: j.UID}})
		if !j.State.Ended() && j.Need.WorkersMin > 1 {
			sim.apply(state.Command{Scale: &state.Scale{Job: j.UID, WorkersMin: 1, WorkersMax: 3}})
		}
	}
}

type simulation struct {
	*cluster
	t       *rapid.T
	workers []*simWorker
	now     int64 // ticks
}

func (sim *simulation) done() bool {
	return !slices.ContainsFunc(sim.s.ByUID(), func(j *state.Job) bool { return !j.State.Ended() })
}

func (sim *simulation) fault() {
	jobs := sim.s.ByUID()
	w := sim.workers[rapid.IntRange(0, len(sim.workers)-1).Draw(sim.t, "worker")]
	job := jobs[rapid.IntRange(0, len(jobs)-1).Draw(sim.t, "job")]
	switch rapid.IntRange(0, 30).Draw(sim.t, "fault") {
	case 0, 1:
		w.killed, w.frozenUntil = true, sim.now+rapid.Int64Range(1, 40).Draw(sim.t, "for")
	case 2:
		w.frozenUntil = sim.now + rapid.Int64Range(1, 40).Draw(sim.t, "for")
	case 3:
		if w.report.Phase == planner.Running && w.report.Step > 0 {
			w.report.Phase, w.report.Failure = planner.Failed, &planner.Failure{Message: "lost the ring"}
		}
	case 4:
		for id := range sim.seen { // another leader
			sim.seen[id] = planner.Observation{Incarnation: sim.s.Workers[id].Incarnation}
		}
	case 5:
		sim.apply(state.Command{Pause: &state.Pause{Job: job.UID, Final: planner.FinalOf(job, sim.seen)}})
	case 6:
		sim.apply(state.Command{Resume: &state.Resume{Job: job.UID}})
	case 7:
		w.leaving = true
		w.killed, w.frozenUntil = true, sim.now+3
	default:
		if rapid.IntRange(0, 3).Draw(sim.t, "orderly") == 0 {
			sim.change()
		}
	}
}

func (sim *simulation) tick() {
	sim.now++
	sim.advance(simTick, nil)
	for _, w := range sim.workers {
		if sim.now < w.frozenUntil && !(w.leaving && w.killed && sim.now+1 == w.frozenUntil) {
			continue
		}
		if w.killed && sim.now >= w.frozenUntil {
			w.incarnation, w.killed, w.leaving, w.orderly, w.report = w.incarnation+1, false, false, false, planner.Report{}
		}
		sim.heartbeat(w)
	}
	sim.settle()
	for id := range sim.s.Workers {
		if _, ok := sim.seen[id]; !ok {
			sim.t.Fatalf("worker %s is not observed", id)
		}
	}
	busy := map[string]uint64{}
	for _, j := range sim.s.ByUID() {
		for _, m := range j.Members {
			if j.State.Active() {
				process := fmt.Sprint(m.Worker, ".", m.Incarnation)
				if other, taken := busy[process]; taken {
					sim.t.Fatalf("jobs %d and %d both have worker %s", other, j.UID, process)
				}
				busy[process] = j.UID
			}
		}
	}
}

// heartbeat lets a worker live one tick, and reports it.
func (sim *simulation) heartbeat(w *simWorker) {
	if known := sim.s.Workers[w.id]; known == nil || known.Incarnation != w.incarnation {
		sim.apply(state.Command{Register: &state.Register{Worker: state.Worker{ID: w.id, Incarnation: w.incarnation, Numerics: []string{"p"}}}})
		sim.seen[w.id] = planner.Observation{}
	}
	j, rank := sim.s.Assigned(w.id, w.incarnation)
	switch {
	case j == nil:
		w.report = planner.Report{}
	case w.report.Job != j.UID || w.report.Generation != j.Generation:
		w.report = planner.Report{Job: j.UID, Generation: j.Generation, Phase: planner.Preparing, Step: j.StartStep}
	default:
		sim.work(w, j, rank)
	}
	o := sim.hear(w.id)
	o.Leaving, o.Idle = w.leaving, j == nil
	age := o.Report.FailureAge
	o.Report = w.report
	if w.report.Failure != nil {
		o.Report.FailureAge = age
	}
	sim.seen[w.id] = o
	if w.orderly && j == nil && !w.killed {
		w.killed, w.frozenUntil = true, sim.now+10
	}
}

func (sim *simulation) work(w *simWorker, j *state.Job, rank int) {
	switch w.report.Phase {
	case planner.Preparing:
		w.report.Phase = planner.Running
	case planner.Running:
		ready := true // the ring steps when everyone is in it
		for _, m := range j.Members {
			i := slices.IndexFunc(sim.workers, func(o *simWorker) bool { return o.id == m.Worker && o.incarnation == m.Incarnation })
			if i < 0 || sim.now < sim.workers[i].frozenUntil {
				ready = false
				continue
			}
			r := sim.workers[i].report
			ready = ready && r.Job == j.UID && r.Generation == j.Generation && (r.Phase == planner.Running || r.Step > w.report.Step)
		}
		switch {
		case j.Stopping() && w.report.Step%2 == 0: // a rule that all follow alike
			w.report.Phase = planner.Stopped
		case ready && w.report.Step < 40:
			w.report.Step++
		}
		if w.report.Step == 40 {
			w.report.Phase = planner.Finished
		}
	}
	if rank != 0 {
		return
	}
	p := &state.Progress{Job: j.UID, Generation: j.Generation, Worker: w.id, Incarnation: w.incarnation, Plan: &state.Plan{SamplesPerEpoch: 100, StepsTotal: 40}}
	if step := w.report.Step; step > j.Committed() {
		p.Ledger = []state.Entry{{Generation: j.Generation, First: j.Committed(), Last: step, Digest: fmt.Sprint(step)}}
	}
	if step := w.report.Step; step%5 == 0 || w.report.Phase == planner.Stopped {
		p.Checkpoints = []state.Checkpoint{{Step: step, URI: fmt.Sprint("c", step), Digest: "d"}}
	}
	if w.report.Phase == planner.Finished {
		p.Exported = "encoder"
	}
	sim.apply(state.Command{Progress: p})
}
