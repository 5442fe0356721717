package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// event is one line of `sslctl events -o json`.
type event struct {
	Time                 time.Time
	Reason, Job, Message string
	Generation           uint64
}

// events are those of one job, or with "" of all.
func (c *cluster) events(job string) []event {
	c.t.Helper()
	arguments := []string{"events", "-o", "json"}
	if job != "" {
		arguments = append(arguments, job)
	}
	var list []event
	if o := c.sslctl(arguments...); json.Unmarshal([]byte(o.stdout), &list) != nil {
		c.t.Fatalf("sslctl %s printed %s", strings.Join(arguments, " "), o.stdout)
	}
	return list
}

// first is the first event of a job and a reason.
func first(t *testing.T, events []event, job, reason string) event {
	t.Helper()
	at := slices.IndexFunc(events, func(e event) bool { return e.Job == job && e.Reason == reason })
	if at < 0 {
		t.Fatalf("there is no event %s of job %s in %+v", reason, job, events)
	}
	return events[at]
}

// Three jobs on four workers. low comes first and takes two; high needs three and holds the others, so that middle, which would fit, does not
// get between. When low has ended, high and middle run beside each other, on different workers. The bar is a second from the end of
// a job to the beginning of the next.
func TestThreeJobsWithPrioritiesOnFourWorkers(t *testing.T) {
	c := newCluster(t, 1, 4)
	c.awaitWorkers(4)
	checkpoints := "file://" + t.TempDir()
	for _, job := range []struct {
		name               string
		min, max, priority int
	}{{"low", 2, 2, 0}, {"high", 3, 3, 10}, {"middle", 1, 1, 5}} {
		set := func(field string, value int) string { return fmt.Sprintf("spec.%s=%d", field, value) }
		c.sslctl("submit", small(t, job.name, "file://"+data, checkpoints, ""), "--detach", "--set", set("workers.min", job.min),
			"--set", set("workers.max", job.max), "--set", set("priority", job.priority))
	}
	both := map[string]string{} // who has each worker while high and middle run
	c.await("high", "runs with middle beside it", func(high result) bool {
		middle := c.status("middle")
		if high.State != "running" || middle.State != "running" {
			return high.State == "completed" || middle.State == "completed"
		}
		for name, r := range map[string]result{"high": high, "middle": middle} {
			for _, m := range r.Members {
				if other := both[m.Worker]; other != "" && other != name {
					t.Errorf("worker %s is with %s and with %s", m.Worker, other, name)
				}
				both[m.Worker] = name
			}
		}
		return true
	})
	if len(both) != 4 {
		t.Errorf("high and middle have %v; want all four workers", both)
	}
	var digests []string
	for _, name := range []string{"low", "high", "middle"} {
		ended := c.await(name, "has ended", func(r result) bool { return r.State == "completed" })
		if ended.StepsRepeated != 0 || ended.Generations != 1 {
			t.Errorf("%s: %d steps repeated in %d generations", name, ended.StepsRepeated, ended.Generations)
		}
		digests = append(digests, ended.Digest)
	}
	if digests[0] != digests[1] || digests[1] != digests[2] {
		t.Errorf("jobs that differ in their workers alone have the digests %v", digests)
	}

	events := c.events("")
	for job, want := range map[string]string{
		"high":   "waits: needs 3 workers; 2 are free, 2 are busy",
		"middle": "waits: needs 1 worker; 0 are free, 2 are busy, 2 are held for job high",
	} {
		if got := first(t, events, job, "Waiting").Message; got != want {
			t.Errorf("%s %s; want %s", job, got, want)
		}
		freed := first(t, events, job, "Started").Time.Sub(first(t, events, "low", "Completed").Time)
		t.Logf("%s started %v after low had completed, ran %v after it", job, freed, first(t, events, job, "Running").Time.Sub(first(t, events, "low", "Completed").Time))
		if freed < 0 || freed > time.Second {
			t.Errorf("%s started %v after low had completed; want at most 1s", job, freed)
		}
	}
	if free := c.sslctl("worker", "list"); strings.Count(free.stdout, " free ") != 4 {
		t.Errorf("after all jobs:\n%s", free.stdout)
	}
}
