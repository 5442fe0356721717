package e2e

import "testing"

// A bank of samples with a running Z: a worker is lost before there is a checkpoint, so that the bank is filled again, and a pause later the job goes
// on with other workers. No worker ever holds more than its share.
func TestABankOfSamplesSurvivesALossAndAPause(t *testing.T) {
	settings := []string{"--set", longer, "--set", "spec.task={name: instdisc, loss: nce, negatives: 200}", "--set", "spec.evaluate=null", "--set", "spec.checkpoint.everySteps=1000"}
	c := newCluster(t, 1, 3)
	c.awaitWorkers(3)
	c.sslctl(append([]string{"submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", "spec.faultTolerance.detectWithin=1s"}, settings...)...)
	running := c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 4 })
	ownSlots(t, running)
	c.workers[1].kill()
	c.await("small", "goes on without the lost worker", func(r result) bool { return r.Generations == 2 && r.Steps >= 4 })
	c.sslctl("pause", "small", "--wait")
	c.startWorker(1)
	c.awaitWorkers(3)
	c.sslctl("resume", "small")
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	ownSlots(t, ended)
	if ended.Generations != 3 || len(ended.Members) != 3 {
		t.Errorf("%d generations, %d members at the end; want 3 and 3", ended.Generations, len(ended.Members))
	}
	alone := up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), append([]string{"--workers", "1", "--coordinators", "1"}, settings...)...)
	if ended.Digest != alone.Digest {
		t.Errorf("digest %s, undisturbed on one worker %s", ended.Digest, alone.Digest)
	}
	ownSlots(t, alone)
}

// ownSlots checks that each member holds its virtual ranks' slots, 64 of the 512 for each of 8, and no others.
func ownSlots(t *testing.T, r result) {
	t.Helper()
	const slot = 4*64 + 8 // a vector and the step that wrote it
	for _, m := range r.Members {
		if want := uint64(m.VirtualRankHi-m.VirtualRankLo) * 64 * slot; m.BankBytes != want {
			t.Errorf("rank %d of %d holds %d bytes of the bank, its share is %d", m.Rank, len(r.Members), m.BankBytes, want)
		}
	}
}
