package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// A rolling restart in the order that docs/operations.md gives: the coordinator that goes last leads; then, as a StatefulSet does it,
// highest number first and the next one when the last is ready, coordinators, then workers. A majority of coordinators is always there, so
// what is submitted meanwhile is accepted, and kept; the leader changes once; the job repeats no step, and ends with the same bits.
func TestARollingRestart(t *testing.T) {
	sets := []string{"--set", "spec.training.epochs=14", "--set", "spec.evaluate.everyEpochs=14"}
	c := newCluster(t, 3, 3)
	c.awaitWorkers(3)
	job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
	c.sslctl(append([]string{"submit", job, "--detach"}, sets...)...)
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 4 })

	submitted := c.submitUntil(t, func() {
		c.sslctl("operator", "raft", "transfer-leadership", "c0")
		for i := 2; i >= 0; i-- {
			if leader := c.leader(); leader != 0 {
				t.Errorf("before c%d was restarted, c%d led, want c0", i, leader)
			}
			if code := c.coordinators[i].terminate(); code != 0 {
				t.Errorf("coordinator c%d ended with status %d", i, code)
			}
			c.startCoordinator(i)
			c.ready(i)
		}
		for i := 2; i >= 0; i-- {
			if r := c.status("small"); r.State == "completed" {
				t.Fatalf("the job has ended before worker w%d was restarted: it must be longer", i)
			}
			if code := c.workers[i].terminate(); code != 0 {
				t.Errorf("worker w%d ended with status %d", i, code)
			}
			c.startWorker(i)
			c.awaitWorker(i)
		}
	})

	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if ended.StepsRepeated != 0 {
		t.Errorf("%d steps were repeated", ended.StepsRepeated)
	}
	want := up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), append([]string{"--workers", "1", "--coordinators", "1"}, sets...)...)
	if ended.Digest != want.Digest {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want.Digest)
	}
	var jobs []struct{ Job string }
	if err := json.Unmarshal([]byte(c.sslctl("list", "-o", "json").stdout), &jobs); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, j := range jobs {
		kept = append(kept, j.Job)
	}
	for _, name := range submitted {
		if !slices.Contains(kept, name) {
			t.Errorf("job %s was accepted and is gone", name)
		}
	}
	if len(submitted) < 3 {
		t.Errorf("only %d jobs were submitted during the restarts", len(submitted))
	}
}

// submitUntil submits one job after another, none of which can start, while f runs, and returns the names of those that were accepted.
func (c *cluster) submitUntil(t *testing.T, f func()) (accepted []string) {
	t.Helper()
	job := small(t, "waiting", "file://"+data, "file://"+t.TempDir(), "")
	done := make(chan struct{})
	var submitting sync.WaitGroup
	submitting.Go(func() {
		for n := 0; ; n++ {
			name := fmt.Sprintf("waiting-%d", n)
			o := sslctl(t, c.dir, c.environment, "submit", job, "--detach", "--set", "metadata.name="+name, "--set", "spec.workers.min=8")
			if o.code != 0 {
				t.Errorf("submitting %s during the restarts: exit status %d\n%s", name, o.code, o.stderr)
			} else {
				accepted = append(accepted, name)
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	defer submitting.Wait()
	defer close(done)
	f()
	return accepted
}

// ready waits until coordinator i says that it is.
func (c *cluster) ready(i int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("wait until coordinator c%d is ready", i), func() string {
		response, err := http.Get("http://" + c.addresses[i] + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return response.Status
		}
		return ""
	})
}

// awaitWorker waits until worker i is registered and alive.
func (c *cluster) awaitWorker(i int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("wait for worker w%d", i), func() string {
		o := sslctl(c.t, c.dir, c.environment, "worker", "list", "-o", "json")
		var workers []struct{ ID, State string }
		if err := json.Unmarshal([]byte(o.stdout), &workers); err != nil {
			return err.Error() + o.stderr
		}
		for _, w := range workers {
			if w.ID == fmt.Sprintf("w%d", i) && (w.State == "free" || w.State == "busy") {
				return ""
			}
		}
		return o.stdout
	})
}
