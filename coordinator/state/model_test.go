package state_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sslctl/sslctl/coordinator/state"
)

// TestNoCommandBreaksTheState applies random commands, sensible and not, in any order. After each one the invariants hold, the state
// before is unchanged, ended jobs stay as they are, and a coordinator that comes from a snapshot gets the same bytes.
func TestNoCommandBreaksTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := state.New(), state.New()
		index, before := uint64(0), text(t, s)
		for range rapid.IntRange(30, 80).Draw(t, "commands") {
			index += rapid.Uint64Range(1, 3).Draw(t, "gap")
			c := command(t, s)
			c.NowMS = int64(index * 10)
			data, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if c, err = state.Decode(data); err != nil {
				t.Fatal(err)
			}
			next, result := state.Apply(s, index, c)
			if text(t, s) != before {
				t.Fatalf("command %s changed the state before it", data)
			}
			if err := check(next); err != nil {
				t.Fatalf("after %s (%v): %v", data, result.Err, err)
			}
			if c.Start != nil && result.Err == nil && next.Jobs[c.Start.Job].Generation != s.Jobs[c.Start.Job].Generation+1 {
				t.Fatalf("%s was accepted after generation %d", data, s.Jobs[c.Start.Job].Generation)
			}
			for uid, j := range s.Jobs {
				after := next.Jobs[uid]
				if after == nil && c.Delete != nil && c.Delete.Job == uid && result.Err == nil {
					continue
				}
				if after == nil || after.Generation < j.Generation || after.Repeated < j.Repeated || (j.State.Ended() && after.State != j.State) {
					t.Fatalf("after %s: job %+v became %+v", data, j, after)
				}
			}
			after := text(t, next)
			if second, _ = state.Apply(second, index, c); text(t, second) != after {
				t.Fatalf("two coordinators differ after %s", data)
			}
			if second, err = state.Read(strings.NewReader(after)); err != nil {
				t.Fatal(err)
			}
			s, before = next, after
		}
	})
}

func text(t *rapid.T, s *state.State) string {
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// command draws one command; most fit s, some do not.
func command(t *rapid.T, s *state.State) state.Command {
	uids := []uint64{0}
	for _, j := range s.ByUID() {
		uids = append(uids, j.UID, j.UID) // the newest is drawn often enough
	}
	uid := rapid.SampledFrom(uids).Draw(t, "job")
	worker := func() string { return fmt.Sprint("w", rapid.IntRange(1, 4).Draw(t, "worker")) }
	switch rapid.IntRange(0, 19).Draw(t, "kind") { // rapid likes small numbers best
	case 0, 4:
		return start(t, s, uid)
	case 1:
		low := rapid.IntRange(1, 2).Draw(t, "min")
		return state.Command{Submit: &state.Submit{
			Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), RequestID: rapid.SampledFrom([]string{"", "", "r"}).Draw(t, "request"),
			Need: state.Requirements{WorkersMin: low, WorkersMax: low + 1, VirtualRanks: 4, Numerics: state.AutoNumerics, GlobalBatch: 10},
		}}
	case 2:
		return state.Command{Register: &state.Register{Worker: state.Worker{
			ID: worker(), Incarnation: rapid.Uint64Range(1, 3).Draw(t, "incarnation"), Numerics: []string{"p"},
		}}}
	case 5:
		return state.Command{Pause: &state.Pause{Job: uid}}
	case 6, 7:
		return state.Command{Resume: &state.Resume{Job: uid}}
	case 8:
		return state.Command{Cancel: &state.Cancel{Job: uid}}
	case 9:
		return state.Command{Forget: &state.Forget{ID: worker(), Incarnation: 1}}
	case 12:
		return state.Command{Cordon: &state.Cordoning{Worker: worker(), Drain: rapid.Bool().Draw(t, "drain")}}
	case 13:
		return state.Command{Uncordon: &state.Uncordon{Worker: worker()}}
	case 15:
		return state.Command{Lose: &state.Lose{ID: worker(), Incarnation: 1, Why: "drawn"}}
	case 16:
		return state.Command{Find: &state.Find{ID: worker(), Incarnation: 1}}
	case 17:
		return state.Command{Reform: &state.Reform{Job: uid, Generation: generation(t, s, uid), Reason: "drawn"}}
	case 18:
		return state.Command{Scale: &state.Scale{
			Job: uid, WorkersMin: rapid.IntRange(0, 3).Draw(t, "min"), WorkersMax: rapid.IntRange(1, 5).Draw(t, "max"),
			Reform: rapid.SampledFrom([]string{"", "drawn"}).Draw(t, "reform"),
		}}
	case 19:
		return state.Command{Delete: &state.Delete{Job: uid, Force: rapid.Bool().Draw(t, "force")}}
	case 14:
		return state.Command{Wait: &state.Wait{Job: uid, For: "drawn"}}
	case 10:
		return state.Command{EndGeneration: &state.EndGeneration{
			Job: uid, Generation: generation(t, s, uid), Reason: "drawn", Final: &state.Final{Step: rapid.Uint64Range(0, 30).Draw(t, "reached")},
			To: rapid.SampledFrom([]state.JobState{state.Waiting, state.Paused, state.Completed, state.Failed, state.Running}).Draw(t, "to"),
		}}
	}
	return progress(t, s, uid)
}

func generation(t *rapid.T, s *state.State, uid uint64) uint64 {
	g := uint64(0)
	if j := s.Jobs[uid]; j != nil {
		g = j.Generation
	}
	if rapid.IntRange(0, 5).Draw(t, "stale") == 0 && g > 0 {
		g--
	}
	return g
}

func start(t *rapid.T, s *state.State, uid uint64) state.Command {
	c := &state.Start{Job: uid, Generation: 1, Numerics: "p", Reason: "drawn"}
	workers := s.ByID()
	if len(workers) > 0 {
		workers = workers[:rapid.IntRange(1, len(workers)).Draw(t, "members")]
	}
	if j := s.Jobs[uid]; j != nil {
		c.Generation = generation(t, s, uid) + 1
		c.StartStep, c.Source = j.Newest().Step, state.Source{URI: j.Newest().URI, Digest: j.Newest().Digest}
		if rapid.IntRange(0, 5).Draw(t, "elsewhere") == 0 {
			c.StartStep++
		}
	}
	for r, w := range workers {
		lo, hi := state.Ownership(r, len(workers), 4)
		c.Members = append(c.Members, state.Member{Worker: w.ID, Incarnation: w.Incarnation, Lo: lo, Hi: hi})
	}
	return state.Command{Start: c}
}

func progress(t *rapid.T, s *state.State, uid uint64) state.Command {
	p := &state.Progress{Job: uid, Generation: generation(t, s, uid)}
	at := uint64(0)
	if j := s.Jobs[uid]; j != nil {
		at = j.Committed()
		if len(j.Members) > 0 {
			m := j.Members[0]
			if rapid.IntRange(0, 5).Draw(t, "other rank") == 0 {
				m = j.Members[len(j.Members)-1]
			}
			p.Worker, p.Incarnation = m.Worker, m.Incarnation
		}
	}
	if rapid.Bool().Draw(t, "plan") {
		p.Plan = &state.Plan{SamplesPerEpoch: 30, StepsTotal: 20}
		if rapid.IntRange(0, 20).Draw(t, "changed") == 0 {
			p.Plan.StepsTotal = 10
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "gap") == 0 {
		at += rapid.Uint64Range(0, 2).Draw(t, "by")
	}
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		n := rapid.Uint64Range(0, 4).Draw(t, "steps")
		p.Ledger = append(p.Ledger, state.Entry{Generation: p.Generation, First: at, Last: at + n, Digest: fmt.Sprint(at + n), Skipped: min(n, 1)})
		at += n
	}
	if rapid.Bool().Draw(t, "checkpoint") {
		step := rapid.Uint64Range(0, at+1).Draw(t, "at")
		p.Checkpoints = []state.Checkpoint{{Step: step, URI: fmt.Sprint("c", step), Digest: "d"}}
	}
	if rapid.Bool().Draw(t, "evaluation") {
		p.Evaluations = []state.Evaluation{{Step: rapid.Uint64Range(0, at+1).Draw(t, "of"), Values: map[string]state.Number{"knn.top1": 0.5}}}
	}
	if rapid.Bool().Draw(t, "removed") {
		p.Removed = []string{fmt.Sprint("c", rapid.Uint64Range(0, at).Draw(t, "which"))}
	}
	p.EpochLosses = make([]state.Number, at*10/30)
	return state.Command{Progress: p}
}
