package e2e

import (
	"syscall"
	"testing"
)

// Everything is killed, again and again, with one checkpoint kept: the one that the coordinators know must always be there.
func TestEverythingIsKilledWhileItRuns(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.awaitWorkers(2)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.faultTolerance.detectWithin=1s",
		"--set", "spec.checkpoint.keep=1", "--set", "spec.checkpoint.everySteps=1", "--set", "spec.training.ledgerEverySteps=1", "--set", "spec.evaluate.everyEpochs=2")
	for range 4 {
		before := c.status("small")
		c.await("small", "goes on", func(r result) bool { return r.Steps >= before.Steps+3 })
		c.killAll()
		c.startCoordinator(0)
		c.startWorker(0)
		c.startWorker(1)
	}
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if want := undisturbed(t); ended.Digest != want {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want)
	}
}

// A coordinator that stands still must not take the workers that talk to it along.
func TestAFrozenFollowerCostsNothing(t *testing.T) {
	c := newCluster(t, 3, 3)
	c.awaitWorkers(3)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.workers.min=3", "--set", "spec.faultTolerance.detectWithin=5s")
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 3 })
	frozen := (c.leader() + 1) % 3
	if err := c.coordinators[frozen].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if ended.Generations != 1 || ended.StepsRepeated != 0 {
		t.Errorf("%d generations, %d steps repeated; want 1 and 0", ended.Generations, ended.StepsRepeated)
	}
}
