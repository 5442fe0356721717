package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A job that lost a worker audits clean; after one byte of its checkpoint is altered it does not, and neither does one whose manifest is gone.
func TestAudit(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.awaitWorkers(2)
	checkpoints := t.TempDir()
	c.sslctl("submit", small(t, "small", "file://"+data, "file://"+checkpoints, ""), "--detach", "--set", "spec.workers.min=1", "--set", "spec.faultTolerance.detectWithin=1s",
		"--set", "spec.checkpoint.everySteps=2", "--set", "spec.training.ledgerEverySteps=1", "--set", "spec.evaluate=null")
	c.await("small", "has done some steps", func(r result) bool { return r.Steps >= 3 })
	c.workers[1].kill()
	c.await("small", "has ended", func(r result) bool { return r.State == "completed" })
	var audit struct {
		Clean       bool
		Positions   uint64
		Epochs      []struct{ Used, Of uint64 }
		Generations []struct{ Events []string }
		Checkpoints []struct{ Verified bool }
	}
	if err := json.Unmarshal([]byte(c.sslctl("audit", "small", "-o", "json").stdout), &audit); err != nil {
		t.Fatal(err)
	}
	if !audit.Clean || audit.Positions != 1024 || len(audit.Epochs) != 2 || audit.Epochs[1].Used != 512 || len(audit.Checkpoints) != 2 || !audit.Checkpoints[1].Verified {
		t.Errorf("audited: %+v", audit)
	}
	if o := c.sslctl("audit", "small"); !strings.Contains(o.stdout, "): clean\n") || !strings.Contains(o.stdout, "generation 2") {
		t.Errorf("audited:\n%s", o.stdout)
	}

	files, err := filepath.Glob(filepath.Join(checkpoints, "small-*", "step-0000000016", "replicated.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the last checkpoint's files: %v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-3] ^= 1
	if err := os.WriteFile(files[0], content, 0o644); err != nil {
		t.Fatal(err)
	}
	c.violated("VIOLATION", "checkpoint of step 16", "SHA-256")
	if err := os.Remove(filepath.Join(filepath.Dir(files[0]), "manifest.json")); err != nil {
		t.Fatal(err)
	}
	c.violated("checkpoint of step 16", "no such object")
}

// violated audits the job and expects exit status 1, and each text in what is printed.
func (c *cluster) violated(texts ...string) {
	c.t.Helper()
	o := sslctl(c.t, c.dir, c.environment, "audit", "small")
	if o.code != 1 || !strings.Contains(o.stderr, "the audit has found violations: 1 in job small") {
		c.t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			c.t.Errorf("%q is missing in\n%s", text, o.stdout)
		}
	}
}
