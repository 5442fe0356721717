package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
)

// What a new leader knows of workers, in made-up time.
func TestTermObserves(t *testing.T) {
	s := state.New()
	for _, id := range []string{"w1", "w2"} {
		s, _ = state.Apply(s, s.Index+1, state.Command{Register: &state.Register{Worker: state.Worker{ID: id, Incarnation: 1, Numerics: []string{"p"}}}})
	}
	at := func(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }
	tm := newTerm(t.Context(), time.Second, at(0))
	defer tm.end()
	tm.hear("w1", 1, at(500*time.Millisecond), false, &planner.Report{Job: 1, Generation: 2, Phase: planner.Failed, Failure: &planner.Failure{Message: "x"}})
	tm.hear("w1", 1, at(700*time.Millisecond), false, &planner.Report{Job: 1, Generation: 2, Phase: planner.Failed, Failure: &planner.Failure{Message: "x"}})
	tm.hear("w1", 1, at(600*time.Millisecond), false, &planner.Report{Job: 1, Generation: 1}) // overtaken on the way

	seen := tm.observe(s, at(900*time.Millisecond))
	if o := seen["w1"]; !o.Heard || o.Age != 200*time.Millisecond || o.Report.Generation != 2 || o.Report.FailureAge != 400*time.Millisecond {
		t.Errorf("w1: %+v", o)
	}
	if o := seen["w2"]; o.Heard || o.Age != 0 {
		t.Errorf("w2 within the grace of a new leader: %+v", o)
	}
	if o := tm.observe(s, at(1500*time.Millisecond))["w2"]; o.Heard || o.Age != 500*time.Millisecond {
		t.Errorf("w2 after the grace: %+v", o)
	}
	tm.excuse(time.Second) // this process stood still
	seen = tm.observe(s, at(1900*time.Millisecond))
	if seen["w1"].Age != 200*time.Millisecond || seen["w2"].Age != 0 {
		t.Errorf("after a standstill of the leader: %+v", seen)
	}
	// Another process in w1's place was not heard yet.
	s, _ = state.Apply(s, s.Index+1, state.Command{Register: &state.Register{Worker: state.Worker{ID: "w1", Incarnation: 2, Numerics: []string{"p"}}}})
	if o := tm.observe(s, at(1900*time.Millisecond))["w1"]; o.Heard || o.Incarnation != 2 || o.Report.Job != 0 {
		t.Errorf("w1's successor: %+v", o)
	}
}

func TestInterval(t *testing.T) {
	s := state.New()
	if d := interval(s, 2*time.Second); d != 250*time.Millisecond {
		t.Errorf("no job: %s", d)
	}
	s.Jobs[1] = &state.Job{UID: 1, State: state.Running, Need: state.Requirements{DetectWithinMS: 800}}
	s.Jobs[2] = &state.Job{UID: 2, State: state.Failed, Need: state.Requirements{DetectWithinMS: 100}}
	if d := interval(s, 2*time.Second); d != 100*time.Millisecond {
		t.Errorf("a job of 800 ms: %s", d)
	}
	s.Jobs[3] = &state.Job{UID: 3, State: state.Waiting, Need: state.Requirements{DetectWithinMS: 100}}
	if d := interval(s, 2*time.Second); d != intervalLeast {
		t.Errorf("a job of 100 ms: %s", d)
	}
}

func TestOffer(t *testing.T) {
	s := state.New()
	if got := offer(s, "x"); !strings.Contains(got, "no job is listed") {
		t.Error(got)
	}
	for i, name := range []string{"fashion-moco", "fashion-simclr", "fashion-moco", "cifar"} {
		s.Jobs[uint64(i+1)] = &state.Job{UID: uint64(i + 1), Name: name}
	}
	for key, want := range map[string]string{
		"fashion-mocco": `did you mean "fashion-moco"`, "simclr": `did you mean "fashion-simclr"?`, "qqqqqq": "no name is near",
	} {
		if got := offer(s, key); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
