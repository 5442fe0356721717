package broken

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sslctl/sslctl/test/ports"
)

// said is the file into which the commands below write what a refused command has printed, made equal between runs.
const said = "said"

// printed is what a command has printed, and how it ended.
type printed struct {
	stdout, stderr string
	code           int
}

// sslctl runs a command of a script to its end.
func sslctl(ts *testscript.TestScript, args []string) printed {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := command(ctx, ts, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		ts.Fatalf("%v hung:\n%s", args, stderr.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v: %v", args, err)
	}
	ts.Logf("%s%s", stdout.String(), stderr.String())
	return printed{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// command is a command with the script's folder and environment.
func command(ctx context.Context, ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	if path == "sslctl" {
		path = filepath.Join(common.bin, path)
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SSLCTL_ADDR", "SSLCTL_TIMEOUT"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// noise is what nobody should have to read beside the error.
var noise = regexp.MustCompile(`\b(WARN|ERROR|DEBUG)\b|panic:|goroutine \d|context canceled`)

// check compares the exit status, and writes the error into the file said: the one line that begins with the program's name, or, of a job file,
// all lines. Progress that was shown before it is left out; noise is not forgiven.
func (p printed) check(ts *testscript.TestScript, code string) {
	if strconv.Itoa(p.code) != code {
		ts.Fatalf("exit code %d, want %s", p.code, code)
	}
	if found := noise.FindString(p.stderr); found != "" {
		ts.Fatalf("%q is printed beside the error:\n%s", found, p.stderr)
	}
	errors := p.stderr
	if at := strings.Index("\n"+p.stderr, "\nsslctl: "); at >= 0 {
		errors = p.stderr[at:]
		if n := strings.Count(errors, "\n"); n != 1 {
			ts.Fatalf("%d lines from the error on, want one:\n%s", n, p.stderr)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(said), []byte(normal(ts, errors)), 0o644))
	leftovers(ts)
}

// leftovers fails for temporary files and for checkpoints below the script's folder.
func leftovers(ts *testscript.TestScript) {
	ts.Check(filepath.WalkDir(ts.MkAbs("."), func(path string, e fs.DirEntry, err error) error {
		for _, prefix := range []string{".sslctl-tmp-", ".sslctl-new-", ".new-", "step-"} {
			if err == nil && strings.HasPrefix(e.Name(), prefix) {
				ts.Fatalf("%s is left", path)
			}
		}
		return err
	}))
}

// refuse is "refuse CODE command …": the command must end with that exit code, one error and nothing half-done.
func refuse(ts *testscript.TestScript, args []string) { sslctl(ts, args[1:]).check(ts, args[0]) }

// reject is "reject FILE …": validate, submit and up must refuse the job file alike, before anything is made: no folder, and no job at the
// coordinator at SSLCTL_ADDR.
func reject(ts *testscript.TestScript, args []string) {
	first := ""
	for _, verb := range []string{"validate", "submit", "up"} {
		p := sslctl(ts, append([]string{"sslctl", verb}, args...))
		p.check(ts, "3")
		if p.stdout != "" {
			ts.Fatalf("%s prints on standard output: %s", verb, p.stdout)
		}
		if first == "" {
			first = p.stderr
		}
		if p.stderr != first {
			ts.Fatalf("%s says another thing than validate:\n%s", verb, p.stderr)
		}
	}
	if _, err := os.Stat(ts.MkAbs(".sslctl")); !errors.Is(err, fs.ErrNotExist) {
		ts.Fatalf("the folder of a run was made: %v", err)
	}
	jobs(ts, nil)
}

// jobs is "jobs NAME …": the cluster knows these jobs and no other.
func jobs(ts *testscript.TestScript, want []string) {
	p := sslctl(ts, []string{"sslctl", "list", "-o", "json"})
	var list []struct{ Job string }
	if err := json.Unmarshal([]byte(p.stdout), &list); err != nil {
		ts.Fatalf("read the list: %v\n%s", err, p.stderr)
	}
	var names []string
	for _, j := range list {
		names = append(names, j.Job)
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		ts.Fatalf("the cluster has the jobs %q, want %q", names, want)
	}
}

// until is "until REGEXP command …": the command is run again and again until its output matches.
func until(ts *testscript.TestScript, args []string) {
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(patience); ; {
		p := sslctl(ts, args[1:])
		if want.MatchString(p.stdout + p.stderr) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v never printed %s", args[1:], want)
		}
	}
}

// addresses is "address NAME …": each name becomes a variable with a free loopback address.
func addresses(ts *testscript.TestScript, names []string) {
	for _, name := range names {
		address, err := ports.Free()
		ts.Check(err)
		ts.Setenv(name, address)
		ts.Setenv("ADDRESSES", ts.Getenv("ADDRESSES")+" "+name)
	}
}

// processes is the key of a script's processes.
type processes struct{}

// process runs beside its script.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
}

// start is "start NAME command …": the command runs until the script stops it or ends.
func start(ts *testscript.TestScript, args []string) {
	p := &process{cmd: command(context.Background(), ts, args[1:]), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended shows in its state
	}()
	ts.Value(processes{}).(map[string]*process)[args[0]] = p
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // it may be gone already
		<-p.ended
		ts.Logf("--- %s\n%s", args[0], p.stderr.String())
	})
}

// wait waits for a process's own end.
func (p *process) wait(ts *testscript.TestScript, name string) printed {
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s did not end", name)
	}
	return printed{p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

// terminate is "terminate NAME": the process is told to end, and must do so in order.
func terminate(ts *testscript.TestScript, args []string) {
	p := ts.Value(processes{}).(map[string]*process)[args[0]]
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	if end := p.wait(ts, args[0]); end.code != 0 {
		ts.Fatalf("%s ended with exit code %d", args[0], end.code)
	}
}

// ends is "ends CODE NAME": the process ends by itself, as refuse has it.
func ends(ts *testscript.TestScript, args []string) {
	ts.Value(processes{}).(map[string]*process)[args[1]].wait(ts, args[1]).check(ts, args[0])
}
