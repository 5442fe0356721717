// Package broken is a suite of 40 situations that must be refused: 20 job files, 10 data sets and 10 clusters. Each script under
// testdata/script runs the real binary and compares the one error that it prints, whole.
package broken

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sslctl/sslctl/test/ports"
)

// patience bounds every wait. It is far above what any of them takes, so only a hang meets it.
const patience = 2 * time.Minute

// common is what all scripts share.
var common struct {
	folder  string // holds the rest
	bin     string // with sslctl in it
	data    string // 512 training images in 3 shards
	address string // of a coordinator that no script gives a job
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if common.folder, err = os.MkdirTemp("", "sslctl-broken-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(common.folder)
	stop, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	return m.Run()
}

// prepare packs the data and starts the idle coordinator.
func prepare() (stop func(), err error) {
	binary, err := filepath.Abs(os.Getenv("SSLCTL_BINARY"))
	if err != nil || os.Getenv("SSLCTL_BINARY") == "" {
		return nil, fmt.Errorf("SSLCTL_BINARY is %q: run `make e2e`, or build the binary and set it", os.Getenv("SSLCTL_BINARY"))
	}
	common.bin, common.data = filepath.Join(common.folder, "bin"), filepath.Join(common.folder, "data")
	if err := os.Mkdir(common.bin, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(binary, filepath.Join(common.bin, "sslctl")); err != nil {
		return nil, err
	}
	images := filepath.Join("..", "..", "..", "examples", "data", "fashion-mnist", "train-images-idx3-ubyte.gz")
	if out, err := exec.Command(binary, "dataset", "pack", images, common.data, "--name", "train", "--limit", "512", "--shards", "3").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pack the data: %w\n%s", err, out)
	}
	if common.address, err = ports.Free(); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "coordinator", "--id", "idle", "--listen", common.address, "--nats-listen", "127.0.0.1:0", "--data-dir", filepath.Join(common.folder, "idle"), "--log-level", "warn")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(patience); ; {
		err := exec.Command(binary, "list", "--addr", common.address).Run()
		if err == nil {
			return stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("the coordinator at %s does not answer: %w", common.address, err)
		}
	}
}

// TestBroken runs the scripts. UPDATE_SCRIPTS=1 writes what is printed into those that compare it.
func TestBroken(t *testing.T) {
	for kind, want := range map[string]int{"job": 20, "data": 10, "cluster": 10} {
		found, err := filepath.Glob(filepath.Join("testdata", "script", kind+"-[0-9][0-9]-*.txtar"))
		if err != nil || len(found) != want {
			t.Errorf("%d scripts of %s, want %d: %v", len(found), kind, want, err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", common.bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("DATA", common.data)
			e.Setenv("SSLCTL_ADDR", common.address)
			e.Setenv("SSLCTL_TIMEOUT", "30s")
			e.Values[processes{}] = map[string]*process{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"address":   plain("address NAME…", 1, addresses),
			"start":     plain("start NAME command [argument …]", 2, start),
			"terminate": plain("terminate NAME", 1, terminate),
			"ends":      plain("ends CODE NAME", 2, ends),
			"until":     plain("until REGEXP command [argument …]", 2, until),
			"refuse":    plain("refuse CODE command [argument …]", 2, refuse),
			"reject":    plain("reject FILE [argument …]", 1, reject),
			"jobs":      plain("jobs [NAME …]", 0, jobs),
		},
	})
}

// plain is a script command without a negated form, with at least so many arguments.
func plain(usage string, least int, f func(*testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least {
			ts.Fatalf("usage: %s", usage)
		}
		f(ts, args)
	}
}

// uids are the numbers that the coordinators give to jobs.
var uids = regexp.MustCompile(`(small-|job )[0-9]+`)

// normal replaces what differs between two runs: folders, addresses, numbers of jobs, and which of several workers was the first.
func normal(ts *testscript.TestScript, text string) string {
	replace := []string{ts.Getenv("WORK"), "$WORK", common.data, "$DATA", common.address, "$IDLE", "worker-1", "worker-N", "worker-2", "worker-N"}
	if host, err := os.Hostname(); err == nil {
		replace = append(replace, "host "+host, "host $HOST")
	}
	for _, name := range strings.Fields(ts.Getenv("ADDRESSES")) {
		replace = append(replace, ts.Getenv(name), "$"+name)
	}
	return uids.ReplaceAllString(strings.NewReplacer(replace...).Replace(text), "${1}UID")
}
