package state_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/coordinator/state"
)

// What the program of format 1 has written, log and snapshot, gives the jobs and workers that it had.
func TestOldStateOpens(t *testing.T) {
	log, err := os.ReadFile("testdata/format-1/log.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	replayed := state.New()
	for line := range bytes.Lines(log) {
		c, err := state.Decode(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var result state.Result
		if replayed, result = state.Apply(replayed, replayed.Index+1, c); result.Err != nil {
			t.Fatalf("%s: %v", line, result.Err)
		}
	}
	snapshot, err := os.Open("testdata/format-1/snapshot.json")
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	restored, err := state.Read(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*state.State{"log": replayed, "snapshot": restored} {
		if err := check(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a, b, c := s.Job("a"), s.Job("b"), s.Job("c")
		if a.State != state.Pausing || a.Generation != 2 || a.Committed() != 8 || a.Repeated != 4 || a.Newest().Step != 4 || len(a.Evaluations) != 1 ||
			b.State != state.Waiting || c.State != state.Cancelled || len(s.Workers) != 3 || s.Workers["w2"].Incarnation != 2 {
			t.Errorf("%s: jobs %+v, %+v, %+v", name, a, b, c)
		}
		next, result := state.Apply(s, s.Index+1, state.Command{NowMS: 5, Cordon: &state.Cordoning{Worker: "w3", Drain: true}})
		if result.Err != nil || !next.Cordons["w3"].Drain {
			t.Errorf("%s: drain: %v", name, result.Err)
		}
	}
	if n := len(replayed.AllEvents()); n < 15 {
		t.Errorf("the old log gives %d events", n)
	}
}

// Events are bounded, and what comes again and again pushes out its own kind first.
func TestEventsAreBounded(t *testing.T) {
	s := state.New()
	apply := func(c state.Command) {
		next, result := state.Apply(s, s.Index+1, c)
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		if s = next; !slices.IsSortedFunc(s.AllEvents(), func(a, b state.Event) int { return int(a.ID) - int(b.ID) }) {
			t.Fatal("events are out of order")
		}
	}
	apply(state.Command{Register: &state.Register{Worker: state.Worker{ID: "w", Incarnation: 1, Numerics: []string{"p"}}}})
	apply(state.Command{Submit: &state.Submit{Name: "a", Need: state.Requirements{WorkersMin: 1, WorkersMax: 1, VirtualRanks: 1, Numerics: "p", GlobalBatch: 1}}})
	uid := s.Job("a").UID
	apply(state.Command{Start: &state.Start{Job: uid, Generation: 1, Numerics: "p", Members: []state.Member{{Worker: "w", Incarnation: 1, Lo: 0, Hi: 1}}, Reason: "submitted"}})
	for step := range uint64(300) {
		apply(state.Command{Progress: &state.Progress{
			Job: uid, Generation: 1, Worker: "w", Incarnation: 1, Ledger: []state.Entry{{Generation: 1, First: step, Last: step + 1}},
			Checkpoints: []state.Checkpoint{{Step: step + 1, URI: "c"}},
		}})
	}
	events := s.Job("a").Events
	if len(events) > 100 || events[0].Reason != state.EventSubmitted || events[len(events)-1].Step != 300 {
		t.Fatalf("%d events, from %+v to %+v", len(events), events[0], events[len(events)-1])
	}
	for range 1000 {
		apply(state.Command{Cordon: &state.Cordoning{Worker: "w"}})
		apply(state.Command{Uncordon: &state.Uncordon{Worker: "w"}})
	}
	if len(s.Events) > 400 || s.Events[len(s.Events)-1].Reason != state.EventUncordoned {
		t.Fatalf("%d events of workers", len(s.Events))
	}
}
