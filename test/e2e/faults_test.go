package e2e

import (
	"testing"
)

// longer makes the small job 6 epochs, 48 steps, so that something can happen while it runs.
const longer = "spec.training.epochs=6"

// undisturbed is the digest of the longer job when nothing happens to it.
func undisturbed(t *testing.T) string {
	t.Helper()
	return up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--workers", "1", "--coordinators", "1", "--set", longer).Digest
}

func TestPauseStopEverythingStartResume(t *testing.T) {
	c := newCluster(t, 3, 2)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.workers.min=2")
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 8 })
	c.sslctl("pause", "small", "--wait")
	paused := c.status("small")
	if paused.State != "paused" || paused.Steps < 8 || paused.Steps >= 48 {
		t.Fatalf("after pause: %+v", paused)
	}
	c.killAll()

	// Everything comes back, with another number of workers.
	for i := range c.coordinators {
		c.startCoordinator(i)
	}
	for i := range 3 {
		c.startWorker(i)
	}
	if again := c.await("small", "is known again", func(r result) bool { return r.State != "" }); again.State != "paused" || again.UID != paused.UID || again.Digest != paused.Digest {
		t.Errorf("after the restart: %+v, before: %+v", again, paused)
	}
	c.awaitWorkers(3)
	c.sslctl("resume", "small")
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if want := undisturbed(t); ended.Digest != want {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want)
	}
	if len(ended.Members) != 3 || ended.StepsRepeated != 0 || ended.Generations != 2 {
		t.Errorf("resumed on %d workers, %d steps repeated, %d generations; want 3, 0, 2", len(ended.Members), ended.StepsRepeated, ended.Generations)
	}
}

func TestTheLeaderIsKilledAndTheJobGoesOn(t *testing.T) {
	// Far longer than maxUncommittedSteps, by which it may run ahead until another leader is there: it must not end before it is paused.
	sets := []string{"--set", "spec.training.epochs=20", "--set", "spec.evaluate.everyEpochs=20"}
	c := newCluster(t, 3, 2)
	job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
	c.sslctl(append([]string{"submit", job, "--detach", "--set", "spec.workers.min=2"}, sets...)...)
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 8 })
	killed := c.leader()
	c.coordinators[killed].kill()
	// The next generation must find its NATS servers too, although the one that the leader embedded is gone.
	c.await("small", "commits again", func(r result) bool { return r.Steps >= 24 })
	c.sslctl("pause", "small", "--wait")
	c.sslctl("resume", "small")
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	want := up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), append([]string{"--workers", "1", "--coordinators", "1"}, sets...)...)
	if ended.Digest != want.Digest {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want.Digest)
	}
	if ended.StepsRepeated != 0 || ended.Generations != 2 {
		t.Errorf("%d steps repeated in %d generations; the loss of a leader should repeat none, and the pause makes 2", ended.StepsRepeated, ended.Generations)
	}
}

func TestAKilledWorkerCostsStepsAndNoBits(t *testing.T) {
	c := newCluster(t, 1, 3)
	c.awaitWorkers(3)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.faultTolerance.detectWithin=1s")
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 8 })
	c.workers[1].kill()
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if want := undisturbed(t); ended.Digest != want {
		t.Errorf("digest %s, undisturbed %s", ended.Digest, want)
	}
	if ended.Generations != 2 || len(ended.Members) != 2 {
		t.Errorf("%d generations, %d members at the end; want 2 and 2", ended.Generations, len(ended.Members))
	}
}
