package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// More of what a coordinator refuses has scripts in folder broken.
func TestBadInputCoordinator(t *testing.T) {
	c := newCluster(t, 1, 0)
	c.leader()
	taken, dir := c.addresses[0], t.TempDir()
	folder := func(name string) string { return filepath.Join(dir, name) }
	route := freeAddress(t)
	for name, b := range map[string]struct {
		arguments []string
		code      int
		says      []string
	}{
		"port of NATS routes taken": {[]string{
			"--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--nats-cluster-listen", taken, "--nats-routes", "nats://" + route, "--data-dir", folder("c"),
		}, 1, []string{
			"sslctl: starting coordinator x: embedded NATS server did not start: listen tcp " + taken + ": bind: address already in use; choose a free port, or port 0 for any",
		}},
		"no such host": {[]string{"--listen", "127.0.0.256:0", "--data-dir", folder("d")}, 1, []string{"starting coordinator x: listen tcp: lookup 127.0.0.256", "; choose another --listen"}},
		"data folder that nobody may write": {[]string{"--listen", "127.0.0.1:0", "--data-dir", "/proc/sslctl"}, 3, []string{
			"cannot make the data folder /proc/sslctl of coordinator x: mkdir /proc/sslctl: ", "; name a folder that can be written",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := append([]string{"coordinator", "--log-level", "warn", "--id", "x"}, b.arguments...)
			o := refuse(t, dir, bad{arguments: arguments, code: b.code, says: b.says})
			if lines := strings.Count(o.stderr, "\n"); o.stdout != "" || lines != 1 {
				t.Errorf("it prints %d lines, want one: %q and\n%s", lines, o.stdout, o.stderr)
			}
			missing(t, b.arguments[len(b.arguments)-1])
		})
	}
	// The one that runs has not noticed anything.
	if o := c.sslctl("list", "-o", "json"); strings.TrimSpace(o.stdout) != "[]" {
		t.Errorf("list prints %s", o.stdout)
	}
	if code := c.coordinators[0].terminate(); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
	if found := noise.FindString(c.coordinators[0].output()); found != "" {
		t.Errorf("%q in the log of a coordinator to which nothing happened:\n%s", found, c.coordinators[0].output())
	}
}

func TestBadInputNobodyAnswers(t *testing.T) {
	t.Parallel()
	a, _ := deafAddress(t)
	b, _ := deafAddress(t)
	job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
	for doing, arguments := range map[string][]string{
		"submitting the job":   {"submit", job},
		"reading job small":    {"status", "small"},
		"reading the cluster":  {"status"},
		"listing the jobs":     {"list"},
		"pausing job small":    {"pause", "small"},
		"cancelling job small": {"cancel", "small"},
		"resuming job small":   {"resume", "small"},
	} {
		t.Run(doing, func(t *testing.T) {
			dir := t.TempDir()
			begin := time.Now()
			o := refuse(t, dir, bad{arguments: append(arguments, "--timeout", "500ms", "--addr", a+","+b), code: 4, says: []string{
				"sslctl: " + doing + ": no coordinator answers within 500ms (", a + ": connect: connection refused", b + ": connect: connection refused",
				"; are these the right addresses (--addr, SSLCTL_ADDR), and is a majority of the coordinators running?",
			}})
			if lines := strings.Count(o.stderr, "\n"); o.stdout != "" || lines != 1 {
				t.Errorf("it prints %d lines, want one: %q and\n%s", lines, o.stdout, o.stderr)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("external NATS", func(t *testing.T) {
		dir := t.TempDir()
		refuse(t, dir, bad{arguments: upBad(job, "--nats", "nats://"+a), code: 3, says: []string{"--nats: cannot reach the message bus: tried nats://" + a + " (connection refused)"}})
	})
}

// A worker that nobody answers keeps trying, says so once, joins who comes, and leaves in order when it is told to.
func TestBadInputWorkerAlone(t *testing.T) {
	t.Parallel()
	address, release := deafAddress(t)
	w := launch(t, t.TempDir(), nil, "worker", "--id", "alone", "--addr", address)
	w.awaitSaid("cannot register; keeps trying")
	if said := w.output().stderr; strings.Count(said, "\n") != 1 || strings.Count(said, address+": connect: connection refused") != 1 {
		t.Errorf("it says\n%s", said)
	}
	release()
	c := start(t, "coordinator", t.TempDir(), nil, sslctlBinary(t), "coordinator", "--id", "late", "--listen", address, "--nats-listen", "127.0.0.1:0")
	w.awaitSaid("registered")
	if o := w.signal(syscall.SIGTERM); o.code != 0 || o.stdout != "" || strings.Count(o.stderr, "WARN") != 1 {
		t.Errorf("exit status %d, stdout %q, stderr\n%s", o.code, o.stdout, o.stderr)
	}
	w.leftNothing()
	if code := c.terminate(); code != 0 {
		t.Errorf("the coordinator's exit status after SIGTERM is %d", code)
	}

	address, _ = deafAddress(t)
	lone := launch(t, t.TempDir(), nil, "worker", "--id", "lone", "--addr", address)
	lone.awaitSaid("cannot register; keeps trying")
	if o := lone.signal(syscall.SIGTERM); o.code != 0 || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("exit status %d after SIGTERM, stderr\n%s", o.code, o.stderr)
	}
	lone.leftNothing()
}

func TestBadInputJobNames(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0)
	c.leader()
	job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
	try := func(code int, says []string, arguments ...string) {
		t.Helper()
		o := refuse(t, t.TempDir(), bad{arguments: arguments, environment: c.environment, code: code, says: says})
		if lines := strings.Count(o.stderr, "\n"); o.stdout != "" || lines != 1 {
			t.Errorf("%v prints %d lines, want one: %q and\n%s", arguments, lines, o.stdout, o.stderr)
		}
	}
	try(5, []string{`sslctl: reading job small: there is no job "small": no job is listed`}, "status", "small")
	for _, name := range []string{"small", "smaller", "other"} {
		c.sslctl("submit", job, "--detach", "--set", "metadata.name="+name)
	}
	try(5, []string{`sslctl: reading job smal: there is no job "smal": did you mean "small" or "smaller"?`}, "status", "smal")
	try(5, []string{`sslctl: pausing job smaller2: there is no job "smaller2": did you mean "smaller" or "small"?`}, "pause", "smaller2")
	try(5, []string{`sslctl: cancelling job fashion: there is no job "fashion": no name is near; sslctl list shows all jobs`}, "cancel", "fashion")
	try(5, []string{`sslctl: reading job 99: there is no job "99"`}, "export", "99", filepath.Join(t.TempDir(), "x.safetensors"))
	try(6, []string{"sslctl: submitting the job: a job of this name has not ended: job ", `, named "small", is waiting; wait for its end, cancel it, or choose another metadata.name`}, "submit", job)
	if o := c.sslctl("list", "-o", "json"); strings.Count(o.stdout, `"job": "small"`) != 1 {
		t.Errorf("list prints %s", o.stdout)
	}
}
