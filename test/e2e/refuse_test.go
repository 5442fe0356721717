package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bad is a command that must be refused, or a job that must fail.
type bad struct {
	arguments   []string
	environment []string
	code        int
	says        []string // parts of the error; each occurs once in all that is printed on standard error
}

// command is a running sslctl with a process group of its own, so that what it may leave behind can be found.
type command struct {
	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	ended  chan struct{}
}

// stream is one of a command's outputs.
type stream struct {
	c *command
	b *bytes.Buffer
}

func (s stream) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.b.Write(p)
}

// launch starts sslctl in folder dir.
func launch(t testing.TB, dir string, environment []string, arguments ...string) *command {
	t.Helper()
	c := &command{t: t, dir: dir, cmd: exec.Command(sslctlBinary(t), arguments...), ended: make(chan struct{})}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, stream{c, &c.stdout}, stream{c, &c.stderr}
	c.cmd.Env = append(os.Environ(), environment...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // how it ended shows in its state
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may be gone already
		<-c.ended
	})
	return c
}

// output is what was printed so far.
func (c *command) output() output {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := output{stdout: c.stdout.String(), stderr: c.stderr.String(), code: -1}
	select {
	case <-c.ended:
		o.code = c.cmd.ProcessState.ExitCode()
	default:
	}
	return o
}

func (c *command) wait() output {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("%v hung\n%s", c.cmd.Args, c.output().stderr)
	}
	return c.output()
}

// signal sends a signal, which must arrive, and waits for the end.
func (c *command) signal(s os.Signal) output {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("%v: %v\n%s", c.cmd.Args, err, c.output().stderr)
	}
	return c.wait()
}

// noise is what nobody should have to read beside the error.
var noise = regexp.MustCompile(`\b(WARN|ERROR|DEBUG)\b|panic:|goroutine \d|disconnected|context canceled`)

// refuse runs a command to its end in folder dir, and checks it as refused does.
func refuse(t testing.TB, dir string, b bad) output {
	t.Helper()
	return launch(t, dir, b.environment, b.arguments...).refused(b)
}

// refused waits for the end and checks what all bad input has in common: the documented exit status, one clear error that is said once,
// and nothing left behind.
func (c *command) refused(b bad) output {
	t := c.t
	t.Helper()
	o := c.wait()
	if o.code != b.code {
		t.Errorf("exit status %d, want %d\n%s%s", o.code, b.code, o.stdout, o.stderr)
	}
	for _, part := range b.says {
		if n := strings.Count(o.stderr, part); n != 1 {
			t.Errorf("%q is printed %d times, want once:\n%s", part, n, o.stderr)
		}
	}
	if found := noise.FindString(o.stderr); found != "" {
		t.Errorf("%q is printed beside the error:\n%s", found, o.stderr)
	}
	if n := strings.Count("\n"+o.stderr, "\nsslctl: "); n > 1 {
		t.Errorf("%d errors, want one:\n%s", n, o.stderr)
	}
	c.leftNothing()
	return o
}

// leftNothing checks that a command that has ended left no process, no listening port and no temporary file.
func (c *command) leftNothing() {
	c.t.Helper()
	if err := syscall.Kill(-c.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		c.t.Errorf("processes of its group are left: %v", err)
	}
	logs, err := filepath.Glob(filepath.Join(c.dir, ".sslctl", "run-*", "log"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, file := range logs {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, on := range regexp.MustCompile(`"on":"([0-9.:]+)"`).FindAllStringSubmatch(string(text), -1) {
			if conn, err := net.Dial("tcp", on[1]); err == nil {
				c.t.Errorf("something still listens on %s", on[1])
				conn.Close()
			}
		}
	}
	noTemporaryFiles(c.t, c.dir)
}

// deafAddress is a loopback address that refuses calls, and that nobody else can take before release is called or the test ends.
func deafAddress(t testing.TB) (address string, release func()) {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = syscall.Close(socket) }) // nothing was sent
	t.Cleanup(release)
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", own.(*syscall.SockaddrInet4).Port), release
}

// awaitSaid waits until a command has printed text on standard error.
func (c *command) awaitSaid(text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("wait until %q is printed", text), func() string {
		if said := c.output().stderr; !strings.Contains(said, text) {
			return "so far: " + said
		}
		return ""
	})
}

// noTemporaryFiles fails for files below a folder that were never given their name.
func noTemporaryFiles(t testing.TB, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, prefix := range []string{".sslctl-tmp-", ".sslctl-new-", ".new-"} {
			if strings.HasPrefix(e.Name(), prefix) {
				t.Errorf("a temporary file is left: %s", path)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
