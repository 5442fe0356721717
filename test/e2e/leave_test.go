package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// A worker that is stopped while nobody can release it from its job waits; who does not want to wait says so by a second signal.
func TestASecondSignalEndsAWorkerAtOnce(t *testing.T) {
	c := newCluster(t, 1, 1)
	c.awaitWorkers(1)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer)
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 1 })
	c.coordinators[0].kill()
	w := c.workers[0]
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "wait until the worker says that it leaves", func() string {
		if log := w.output(); !strings.Contains(log, "leaving; the job is to go on without this worker") {
			return log
		}
		return ""
	})
	select {
	case <-w.ended:
		t.Fatal("it did not wait")
	default:
	}
	w.terminate()
	if status := w.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended as %v, want by the signal", w.cmd.ProcessState)
	}
}
