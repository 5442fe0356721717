package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// A worker is drained, the job is scaled up, a worker is asked to end, and the job is scaled down, while it runs. No step is repeated, and
// the result is what it would have been.
func TestPlannedChangesRepeatNothing(t *testing.T) {
	c := newCluster(t, 1, 3)
	c.awaitWorkers(3)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.workers.max=2")
	members := func(r result) (ids string) {
		for _, m := range r.Members {
			ids += m.Worker + " "
		}
		return ids
	}
	changed := func(want string, step uint64) uint64 {
		t.Helper()
		r := c.await("small", "runs on "+want, func(r result) bool { return members(r) == want && r.State == "running" && r.Steps > step })
		return r.Steps
	}
	step := changed("w0 w1 ", 3)
	c.sslctl("worker", "drain", "w0", "--wait")
	step = changed("w1 w2 ", step)
	c.sslctl("worker", "uncordon", "w0")
	c.sslctl("scale", "small", "--max", "3")
	step = changed("w1 w2 w0 ", step)
	if code := c.workers[1].terminate(); code != 0 {
		t.Errorf("a worker that was asked to end has exit status %d", code)
	}
	step = changed("w2 w0 ", step)
	c.sslctl("scale", "small", "--max", "1")
	changed("w2 ", step)
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if want := undisturbed(t); ended.Digest != want {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want)
	}
	if ended.StepsRepeated != 0 || ended.Generations != 5 {
		t.Errorf("%d steps repeated in %d generations; want 0 in 5", ended.StepsRepeated, ended.Generations)
	}
}

// A running job is deleted with what it has stored.
func TestDeletedJobLeavesNoCheckpoints(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.awaitWorkers(2)
	checkpoints := t.TempDir()
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+checkpoints, ""), "--detach", "--set", longer)
	running := c.await("small", "has stored a checkpoint", func(r result) bool { return r.Steps >= 8 })
	folder := filepath.Join(checkpoints, "small-"+running.UID)
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	c.sslctl("delete", "small", "--force", "--checkpoints")
	err := filepath.WalkDir(checkpoints, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if o := sslctl(t, c.dir, c.environment, "status", "small"); o.code != 5 {
		t.Errorf("the deleted job is still known: %s", o.stdout)
	}
	c.awaitWorkers(2)
}
