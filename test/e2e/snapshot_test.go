package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All coordinators lose their disks while a job runs. A snapshot restored into a new group lets the same workers go on to the same bits.
func TestRestoreAfterTheLossOfAllCoordinators(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.awaitWorkers(2)
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--detach", "--set", longer, "--set", "spec.faultTolerance.detectWithin=5s",
		"--set", "spec.checkpoint.keep=8", "--set", "spec.checkpoint.everySteps=2", "--set", "spec.training.ledgerEverySteps=1")
	before := c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 6 && r.State == "running" })
	file := filepath.Join(c.dir, "backup.snap")
	c.sslctl("operator", "snapshot", "save", file)

	c.coordinators[0].kill()
	if err := os.RemoveAll(filepath.Join(c.dir, "c0")); err != nil {
		t.Fatal(err)
	}
	c.startCoordinator(0)
	c.leader()
	if o := c.sslctl("list", "-o", "json"); strings.TrimSpace(o.stdout) != "[]" {
		t.Fatalf("the new group has jobs: %s", o.stdout)
	}
	if o := c.sslctl("operator", "snapshot", "inspect", file); !strings.Contains(o.stdout, "sums verified") || !strings.Contains(o.stdout, before.UID) {
		t.Errorf("inspected: %s", o.stdout)
	}
	c.sslctl("operator", "snapshot", "restore", file)
	ended := c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	if want := undisturbed(t); ended.Digest != want || ended.UID != before.UID {
		t.Errorf("uid %s, digest %s; before %s, undisturbed %s", ended.UID, ended.Digest, before.UID, want)
	}
	if ended.Generations != 2 {
		t.Errorf("%d generations, want one before the snapshot and one after", ended.Generations)
	}
	refused := sslctl(t, c.dir, c.environment, "operator", "snapshot", "restore", file)
	if refused.code != 6 || !strings.Contains(refused.stderr, "--force") {
		t.Errorf("restoring over a job: exit status %d, %s", refused.code, refused.stderr)
	}
}

// The group loses a coordinator for good, gets rid of it, and lets it in again on an empty disk.
func TestCoordinatorLeavesAndJoins(t *testing.T) {
	c := newCluster(t, 3, 0)
	lost := (c.leader() + 1) % 3
	id := fmt.Sprintf("c%d", lost)
	c.coordinators[lost].kill()
	c.sslctl("operator", "raft", "remove-peer", id)
	if err := os.RemoveAll(filepath.Join(c.dir, id)); err != nil {
		t.Fatal(err)
	}
	c.environment = append(c.environment, "SSLCTL_JOIN=true")
	c.startCoordinator(lost)
	answers(t, c.addresses[lost])
	c.sslctl("operator", "raft", "add-peer", id)
	c.sslctl("operator", "raft", "transfer-leadership", id)
	if leader := c.leader(); leader != lost {
		t.Errorf("c%d leads, want %s", leader, id)
	}
	if o := c.sslctl("operator", "raft", "list-peers"); strings.Count(o.stdout, "voter") != 3 || strings.Contains(o.stdout, "silent") {
		t.Errorf("the group is\n%s", o.stdout)
	}
}
