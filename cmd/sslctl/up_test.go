package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tinyJob packs six images and writes a job that trains on them for a few steps.
func tinyJob(t *testing.T, epochs string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	code, _, stderr := sslctl("", "dataset", "pack", imageFolder(t), dir, "--name", "tiny", "--shards", "2")
	if code != 0 {
		t.Fatal(stderr)
	}
	file = filepath.Join(dir, "job.yaml")
	text := `apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: tiny}
spec:
  dataset: {uri: "file://DIR/tiny-{000..001}.tar"}
  transforms: [randomResizedCrop: {}, flip: {}, normalize: {mean: [0.3], std: [0.4]}]
  model: {name: mlp, image: {height: 8, width: 8}, projector: {hidden: 16, out: 8}}
  task: {name: moco, bank: {size: 16}}
  optimizer: {lr: 0.001}
  training: {seed: 1, globalBatch: 4, virtualRanks: 2, epochs: EPOCHS, ledgerEverySteps: 2}
  checkpoint: {uri: "file://DIR/checkpoints"}
  evaluate:
    everyEpochs: 1000
    train: {uri: "file://DIR/tiny-{000..001}.tar"}
    test: {uri: "file://DIR/tiny-{000..001}.tar"}
    knn: {k: 2}
`
	text = strings.NewReplacer("DIR", dir, "EPOCHS", epochs).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// waitGoroutines fails unless the process comes down to so many goroutines again.
func waitGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left, %d were there before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestUp trains with one and with two workers: the same digest, a report with every name, and nothing left running.
func TestUp(t *testing.T) {
	dir, file := tinyJob(t, "6")
	before := runtime.NumGoroutine()
	digests := map[string]bool{}
	for _, args := range [][]string{{"--workers", "1", "--coordinators", "1"}, {"--workers", "2", "--coordinators", "3"}} {
		encoder := filepath.Join(dir, "out", "encoder.safetensors")
		code, stdout, stderr := sslctl("", append([]string{"up", file, "--dir", dir, "--export", encoder, "-o", "json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, stderr %s", args, code, stderr)
		}
		var r jobReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
		if r.State != "completed" || r.Steps != 9 || r.Samples != 36 || r.Digest == "" || r.Exported != encoder || r.Generations != 1 {
			t.Errorf("%v: got %+v", args, r)
		}
		for _, name := range []string{"knn.top1", "linear.top1", "untrained.knn.top1", "rawPixel.knn.top1", "alignment", "uniformity", "effectiveRank"} {
			if _, ok := r.Evaluation[name]; !ok {
				t.Errorf("%v: the evaluation %v lacks %s", args, r.Evaluation, name)
			}
		}
		if info, err := os.Stat(encoder); err != nil || info.Size() == 0 {
			t.Errorf("%v: the encoder: %v", args, err)
		}
		digests[r.Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("one worker and two give different digests: %v", digests)
	}
	waitGoroutines(t, before)
}

// TestUpFails ends with one error, which says what to mend, and leaves nothing running.
func TestUpFails(t *testing.T) {
	dir, file := tinyJob(t, "2")
	before := runtime.NumGoroutine()
	code, stdout, stderr := sslctl("", "up", file, "--dir", dir, "--coordinators", "1", "--set", "spec.dataset.uri=file://"+dir+"/none-*.tar")
	if code != 7 || !strings.Contains(stdout, "failed") || strings.Count(stderr, "sslctl: ") != 1 || !strings.Contains(stderr, "nothing matches") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	code, stdout, stderr = sslctl("", "up", file, "--dir", dir, "--workers", "1", "--set", "spec.workers.min=2")
	if code != 3 || stdout != "" || !strings.HasPrefix(stderr, "sslctl: the job needs ") || !strings.Contains(stderr, "it would wait for ever") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	code, stdout, stderr = sslctl("", "up", file, "--dir", dir, "--nats", "nats://"+refused(t))
	if code != 3 || stdout != "" || !strings.Contains(stderr, "--nats: cannot reach the message bus") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	code, _, stderr = sslctl("", "up", file, "--dir", dir, "--coordinators", "2")
	if code != 2 || !strings.Contains(stderr, "expected 1, 3 or 5") {
		t.Errorf("exit code %d, stderr %s", code, stderr)
	}
	waitGoroutines(t, before)
}

// awaited is a writer that tells when it has seen a text.
type awaited struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	seen chan struct{}
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := strings.Contains(a.b.String(), a.text)
	a.b.Write(p)
	if !before && strings.Contains(a.b.String(), a.text) {
		close(a.seen)
	}
	return len(p), nil
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.b.String()
}

// TestUpInterrupted pauses the job with a checkpoint.
func TestUpInterrupted(t *testing.T) {
	dir, file := tinyJob(t, "1000000")
	before := runtime.NumGoroutine()
	var stdout bytes.Buffer
	stderr := &awaited{text: "  epoch ", seen: make(chan struct{})}
	code := make(chan int)
	go func() {
		code <- run([]string{"up", file, "--dir", dir, "--coordinators", "1"}, strings.NewReader(""), &stdout, stderr)
	}()
	limit := time.After(time.Minute)
	select {
	case <-stderr.seen:
	case c := <-code:
		t.Fatalf("exit code %d before it trained: %s", c, stderr)
	case <-limit:
		t.Fatalf("no progress: %s", stderr)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-code:
		if c != 130 || stdout.Len() != 0 || !strings.Contains(stderr.String(), "paused at step") ||
			!strings.Contains(stderr.String(), "\nsslctl up does not go on from there: the next run begins anew; ") {
			t.Errorf("exit code %d, stdout %s, stderr %s", c, stdout.String(), stderr)
		}
	case <-limit:
		t.Fatalf("the interrupt does not end it: %s", stderr)
	}
	checkpoints, err := filepath.Glob(filepath.Join(dir, "checkpoints", "run-*", "tiny-*", "step-*", "*"))
	if err != nil || len(checkpoints) == 0 {
		t.Errorf("no checkpoint: %v", err)
	}
	waitGoroutines(t, before)
}
