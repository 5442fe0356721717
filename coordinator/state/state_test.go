package state_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/coordinator/state"
)

func TestNumberSurvivesJSON(t *testing.T) {
	for _, x := range []float64{0, math.Copysign(0, -1), 1, -2.5, 1.0 / 3, math.Pi * 1e300, 5e-324, 1e21, 1e-7, math.NaN(), math.Inf(1), math.Inf(-1)} {
		data, err := json.Marshal(state.Number(x))
		if err != nil {
			t.Fatal(err)
		}
		var y state.Number
		if err := json.Unmarshal(data, &y); err != nil || math.Float64bits(float64(y)) != math.Float64bits(x) {
			t.Errorf("%v became %v by %s (%v)", x, y, data, err)
		}
	}
}

// The ledger in chunks does what one plain list does.
func TestLedgerAgainstPlainList(t *testing.T) {
	var l state.Ledger
	var plain []state.Entry
	versions := map[int]state.Ledger{}
	for i := range uint64(700) {
		e := state.Entry{Generation: 1, First: 3 * i, Last: 3*i + 3, Skipped: i % 2, Digest: fmt.Sprint(i)}
		next, err := l.Append(e)
		if err != nil {
			t.Fatal(err)
		}
		versions[l.Len()] = l
		l, plain = next, append(plain, e)
	}
	if _, err := l.Append(state.Entry{First: 5, Last: 9}); !errors.Is(err, state.ErrNotContiguous) {
		t.Fatalf("a gap gave %v", err)
	}
	short := versions[5] // of a capacity that append would fill in place
	one, _ := short.Append(state.Entry{First: 15, Last: 16, Digest: "one"})
	two, _ := short.Append(state.Entry{First: 15, Last: 16, Digest: "two"})
	if a, b := one.At(5).Digest, two.At(5).Digest; a != "one" || b != "two" {
		t.Fatalf("two ledgers that grew from one hold %q and %q", a, b)
	}
	for n, old := range versions {
		if got := slices.Collect(old.All()); old.Len() != n || (n > 0 && !slices.Equal(got, plain[:n])) {
			t.Fatalf("the ledger of %d entries has changed", n)
		}
	}
	for _, step := range []uint64{0, 1, 3, 767, 768, 769, 1536, 2098, 2099, 2100, 9999} {
		r := l.Rollback(step)
		if r.End() != min(step, 2100) {
			t.Fatalf("rolled back to %d: ends at %d", step, r.End())
		}
		digest, at := r.Digest()
		if want := min(step, 2100) / 3 * 3; at != want || (want > 0 && digest != fmt.Sprint(want/3-1)) {
			t.Fatalf("rolled back to %d: digest %q of step %d", step, digest, at)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again state.Ledger
		if err := json.Unmarshal(data, &again); err != nil || !slices.Equal(slices.Collect(again.All()), slices.Collect(r.All())) || again.Skipped() != r.Skipped() {
			t.Fatalf("rolled back to %d: does not survive JSON: %v", step, err)
		}
	}
	if e, ok := l.Find(771); !ok || e.First != 768 {
		t.Fatalf("found %+v", e)
	}
	if _, ok := l.Find(770); ok {
		t.Fatal("found an entry that ends inside another")
	}
}

func TestVersions(t *testing.T) {
	if _, err := state.Decode([]byte(`{"version":3,"later":{}}`)); !errors.Is(err, state.ErrVersion) {
		t.Errorf("a command of a newer program gave %v", err)
	}
	if _, err := state.Decode([]byte(`{"version":1,"later":{}}`)); err == nil {
		t.Error("a command with an unknown part was read")
	}
	if _, err := state.Read(strings.NewReader(`{"format":"sslctl-coordinator-state/3","state":{}}`)); !errors.Is(err, state.ErrVersion) {
		t.Errorf("a snapshot of a newer program gave %v", err)
	}
	if _, err := state.Read(bytes.NewReader([]byte("x"))); err == nil {
		t.Error("garbage was read as a snapshot")
	}
	if _, r := state.Apply(state.New(), 1, state.Command{}); !errors.Is(r.Err, state.ErrInvalid) {
		t.Errorf("an empty command gave %v", r.Err)
	}
}

func TestOwnership(t *testing.T) {
	for v := 1; v <= 64; v++ {
		for w := 1; w <= v; w++ {
			next, least, most := 0, v, 0
			for r := range w {
				lo, hi := state.Ownership(r, w, v)
				if lo != next {
					t.Fatalf("rank %d of %d begins at %d of %d, want %d", r, w, lo, v, next)
				}
				next, least, most = hi, min(least, hi-lo), max(most, hi-lo)
			}
			if next != v || least < v/w || most > (v+w-1)/w {
				t.Fatalf("%d ranks of %d virtual ranks own %d to %d each", w, v, least, most)
			}
		}
	}
}

// What a snapshot holds goes on without the workers of its time: what ran waits, what was paused or has ended stays so. No generation of
// what may go on is one that the cluster of the snapshot may have had after it.
func TestRestored(t *testing.T) {
	need := state.Requirements{WorkersMin: 1, WorkersMax: 2, VirtualRanks: 4, Numerics: "n/1", GlobalBatch: 8, Epochs: 1}
	s, index := state.New(), uint64(0)
	do := func(c state.Command) {
		index++
		c.NowMS = 5
		var r state.Result
		if s, r = state.Apply(s, index, c); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, name := range []string{"runs", "pausing", "waits", "ended", "failed"} {
		do(state.Command{Submit: &state.Submit{Name: name, Need: need}})
	}
	for uid := uint64(1); uid <= 2; uid++ {
		w := fmt.Sprint("w", uid)
		do(state.Command{Register: &state.Register{Worker: state.Worker{ID: w, Incarnation: 9, Numerics: []string{"n/1"}}}})
		do(state.Command{Start: &state.Start{Job: uid, Generation: 1, Numerics: "n/1", Members: []state.Member{{Worker: w, Incarnation: 9, Hi: 4}}}})
		do(state.Command{Progress: &state.Progress{Job: uid, Generation: 1, Worker: w, Incarnation: 9, Ledger: []state.Entry{{Generation: 1, Last: 5, Digest: "d"}}}})
	}
	do(state.Command{Pause: &state.Pause{Job: 2}})
	do(state.Command{Cancel: &state.Cancel{Job: 4}})
	do(state.Command{Register: &state.Register{Worker: state.Worker{ID: "w5", Incarnation: 9, Numerics: []string{"n/1"}}}})
	do(state.Command{Start: &state.Start{Job: 5, Generation: 1, Numerics: "n/1", Members: []state.Member{{Worker: "w5", Incarnation: 9, Hi: 4}}}})
	do(state.Command{EndGeneration: &state.EndGeneration{Job: 5, Generation: 1, To: state.Failed, Reason: "the bucket is gone"}})

	r := state.Restored(s, 7, "why")
	if err := check(r); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint64]state.JobState{1: state.Waiting, 2: state.Paused, 3: state.Waiting, 4: state.Cancelled, 5: state.Failed} {
		if got := r.Jobs[uid]; got.State != want || got.Committed() != s.Jobs[uid].Committed() {
			t.Errorf("job %d is %s at step %d, want %s", uid, got.State, got.Committed(), want)
		}
	}
	if len(r.Workers) != 0 || r.Jobs[1].Reason != "why" || r.Jobs[5].Reason != "the bucket is gone" {
		t.Errorf("%d workers, jobs %+v and %+v", len(r.Workers), r.Jobs[1], r.Jobs[5])
	}
	for _, uid := range []uint64{1, 2, 5} { // 5 can be resumed
		if j := r.Jobs[uid]; j.Generations() != 1 || j.Generation < 1000 {
			t.Errorf("job %d has had %d generations, its newest is number %d", uid, j.Generations(), j.Generation)
		}
	}
	if s.Jobs[1].State != state.Running || len(s.Workers) != 3 {
		t.Error("the state that was restored has changed itself")
	}
}

// One report may name more corrupt samples than a command has room for events: each is counted, and the events stay in order and few.
func TestManyCorruptSamples(t *testing.T) {
	need := state.Requirements{WorkersMin: 1, WorkersMax: 1, VirtualRanks: 1, Numerics: "n/1", GlobalBatch: 8, Epochs: 1}
	var samples []string
	for i := range 2 * state.EventsOfCommand {
		samples = append(samples, fmt.Sprintf("a.tar#%05d", i))
	}
	s := state.New()
	for i, c := range []state.Command{
		{Submit: &state.Submit{Name: "a", Need: need}},
		{Register: &state.Register{Worker: state.Worker{ID: "w", Incarnation: 9, Numerics: []string{"n/1"}}}},
		{Start: &state.Start{Job: 1, Generation: 1, Numerics: "n/1", Members: []state.Member{{Worker: "w", Incarnation: 9, Hi: 1}}}},
		{Progress: &state.Progress{Job: 1, Generation: 1, Worker: "w", Incarnation: 9, Corrupt: samples}},
		{Progress: &state.Progress{Job: 1, Generation: 1, Worker: "w", Incarnation: 9, Corrupt: append(samples, "b.tar#0")}},
	} {
		var r state.Result
		if s, r = state.Apply(s, uint64(i+1), c); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	job := s.Jobs[1]
	if len(job.Corrupt) != len(samples)+1 {
		t.Errorf("%d samples are known, want %d", len(job.Corrupt), len(samples)+1)
	}
	told := slices.DeleteFunc(slices.Clone(job.Events), func(e state.Event) bool { return e.Reason != state.EventCorrupt })
	if n := len(told); n != 22 || told[20].Text != "2028 more samples that cannot be decoded were replaced; sslctl audit a names them" || !strings.HasSuffix(told[21].Text, "b.tar#0") {
		t.Errorf("%d events: %v", n, told)
	}
	for i, e := range s.AllEvents() {
		if at := e.ID / state.EventsOfCommand; at < 1 || at > 5 || i > 0 && e.ID <= s.AllEvents()[i-1].ID {
			t.Errorf("event %d has the number %d", i, e.ID)
		}
	}
}
