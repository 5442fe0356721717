package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// answerWithin bounds the wait for one answer of a peer: its slowest is the choice between two ways of NT-Xent, a few seconds.
const answerWithin = 2 * time.Minute

// missing says that what a row compares with is not installed.
type missing struct{ library string }

func (m missing) Error() string {
	return m.library + ": not installed (bash scripts/peers.sh installs it)"
}

// peer is a process that measures one work of somebody else's, as bench/peers/serve.py does.
type peer struct {
	Name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

type answer struct {
	Name    string
	Seconds []float64
	Missing string
	Error   string
}

// startPeer starts serve.py and prepares a work. It returns missing where Python or a library is not there.
func (b *bench) startPeer(ctx context.Context, module string, args map[string]any) (*peer, error) {
	cmd := b.python(ctx, "serve.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the peer of %s: %w", module, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the peer of %s: %w", module, err)
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return nil, missing{"Python"}
		}
		return nil, fmt.Errorf("start the peer of %s: %w", module, err)
	}
	p := &peer{cmd: cmd, in: in, out: bufio.NewReader(out)}
	a, err := p.ask(map[string]any{"prepare": module, "args": args})
	if err != nil {
		p.close()
		return nil, fmt.Errorf("prepare the peer of %s: %w", module, err)
	}
	p.Name = a.Name
	return p, nil
}

// run measures n calls after some that are not measured, in seconds.
func (p *peer) run(n, warm int) ([]float64, error) {
	a, err := p.ask(map[string]any{"run": n, "warm": warm})
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", p.Name, err)
	}
	return a.Seconds, nil
}

func (p *peer) ask(request map[string]any) (a answer, err error) {
	late := time.AfterFunc(answerWithin, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if err := json.NewEncoder(p.in).Encode(request); err != nil {
		return a, fmt.Errorf("no answer: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("no answer within %v: %w", answerWithin, err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("answer %q: %w", line, err)
	}
	switch {
	case a.Missing != "":
		return a, missing{a.Missing}
	case a.Error != "":
		return a, errors.New(strings.TrimSpace(a.Error))
	}
	return a, nil
}

// close ends the process; it holds nothing that is worth a goodbye.
func (p *peer) close() {
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// python is a command that runs one of bench/peers with the machine's cores, whatever core an environment has OpenBLAS believe in.
func (b *bench) python(ctx context.Context, script string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.interpreter, append([]string{filepath.Join(b.peers, script)}, arguments...)...)
	cmd.Stderr = os.Stderr
	threads := strconv.Itoa(b.threads)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OPENBLAS_") && !strings.HasPrefix(e, "OMP_") && !strings.HasPrefix(e, "MKL_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "SSLCTL_BENCH_THREADS="+threads, "OMP_NUM_THREADS="+threads, "MKL_NUM_THREADS="+threads, "OPENBLAS_NUM_THREADS="+threads)
	return cmd
}
