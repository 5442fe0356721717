// Package e2e runs the real binary against real servers, as a user would, and compares digests.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sslctl/sslctl/test/ports"
)

// patience bounds every wait of these tests. It is far above what any of them takes, so only a hang meets it.
const patience = 4 * time.Minute

// sslctlBinary is the sslctl under test. `make e2e` builds it and sets the variable.
func sslctlBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SSLCTL_BINARY")
	if path == "" {
		t.Fatal("SSLCTL_BINARY is not set: run `make e2e`, or build the binary and set it")
	}
	return path
}

// tool is a server that `make tools` has installed.
func tool(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("SSLCTL_TOOLS")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(home, ".cache", "sslctl-tools")
	}
	path := filepath.Join(root, "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run `make tools`", err)
	}
	return path
}

// output is what a finished command has printed.
type output struct {
	stdout, stderr string
	code           int
}

// sslctl runs the binary to its end in folder dir.
func sslctl(t testing.TB, dir string, environment []string, arguments ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, sslctlBinary(t), arguments...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), environment...)
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("sslctl %s hung\n%s", strings.Join(arguments, " "), stderr.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed runs the binary and fails the test unless it exits with 0.
func succeed(t testing.TB, dir string, environment []string, arguments ...string) output {
	t.Helper()
	o := sslctl(t, dir, environment, arguments...)
	if o.code != 0 {
		t.Fatalf("sslctl %s: exit status %d\n%s%s", strings.Join(arguments, " "), o.code, o.stdout, o.stderr)
	}
	return o
}

// process is a command that runs beside the test.
type process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	log   bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs a command until the test ends or kills it.
func start(t testing.TB, name, dir string, environment []string, path string, arguments ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(path, arguments...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p, p
	p.cmd.Env = append(os.Environ(), environment...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended shows in its log and its state
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("--- %s\n%s", name, tail(p.output(), 60))
		}
	})
	return p
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kill is kill -9. It waits until the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// terminate sends SIGTERM and returns the exit status.
func (p *process) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually polls until check returns "", and fails with what it returned last.
func eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		if last = check(); last == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %s", what, last)
		}
	}
}

// freeAddress is a loopback address that was free a moment ago, and that no other call gets.
func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// answers waits until something listens at address.
func answers(t testing.TB, address string) {
	t.Helper()
	eventually(t, "connect to "+address, func() string {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
}

// result is the JSON object that `up` and `status` print.
type result struct {
	Job, UID, State, Reason string
	Steps, Samples          uint64
	Epochs, Loss            float64
	Digest                  string
	Generations             uint64
	StepsRepeated           uint64
	Exported                string
	Evaluation              map[string]float64
	Members                 []member
}

type member struct {
	Rank          int
	Worker        string
	VirtualRankLo int `json:"virtualRankLo"`
	VirtualRankHi int `json:"virtualRankHi"`
	Samples       uint64
	RingBytesSent uint64 `json:"ringBytesSent"`
	BankBytes     uint64 `json:"bankBytes"`
}

func parse(t testing.TB, o output) result {
	t.Helper()
	var r result
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("read the JSON object: %v\n%s%s", err, o.stdout, o.stderr)
	}
	return r
}

// small is a job that takes a few seconds: 2 epochs of 512 images in batches of 64, 16 steps.
func small(t testing.TB, name, data, checkpoints, access string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".yaml")
	text := fmt.Sprintf(`apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: %s}
spec:
  workers: {min: 1, max: 8}
  dataset: {uri: "%s/train-*.tar"%s}
  transforms:
    - randomResizedCrop: {size: 28}
    - flip: {probability: 0.5}
    - jitter: {brightness: 0.8, contrast: 0.8, gamma: 1}
    - normalize: {mean: [0.286], std: [0.353]}
  model: {name: resnet-tiny, projector: {hidden: 128, out: 64}}
  task: {name: moco, temperature: 0.2, momentum: 0.99, bank: {size: 250}}
  optimizer: {name: adamw, lr: 0.003, weightDecay: 0.0005}
  training: {seed: 7, globalBatch: 64, virtualRanks: 8, epochs: 2, ledgerEverySteps: 4}
  faultTolerance: {detectWithin: 2s, maxUncommittedSteps: 64}
  checkpoint: {uri: "%s", everySteps: 6, keep: 2%s}
  evaluate:
    everyEpochs: 1
    train: {uri: "%s/train-*.tar"%s}
    test: {uri: "%s/test-*.tar"%s}
`, name, data, access, checkpoints, access, data, access, data, access)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
