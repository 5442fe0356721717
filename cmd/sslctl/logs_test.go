package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap/zapcore"
)

// jsonLines reads one JSON object a line.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		list = append(list, fields)
	}
	return list
}

// TestLogs follows a job with two workers to its end: what both workers and a coordinator have logged about it comes from all coordinators alike.
func TestLogs(t *testing.T) {
	ctx, gr, c := startTestGroup(t, 2, 3)
	job := submitTiny(ctx, t, c, "30", every(10))
	logs := func(address string, args ...string) string {
		t.Helper()
		code, stdout, stderr := sslctl("", append([]string{"logs", "tiny", "--addr", address}, args...)...)
		if code != 0 || stderr != "" {
			t.Fatalf("logs %v: exit code %d, stderr %s", args, code, stderr)
		}
		return stdout
	}
	followed := jsonLines(t, logs(gr.addresses[0], "-f", "-o", "json"))
	j, err := c.get(ctx, &sslctlv1.GetRequest{Job: job.Uid})
	if err != nil || !ended(j.State) {
		t.Fatalf("following ended before the job, which is %v (%v)", j, err)
	}
	find := func(lines []map[string]any, who, id, msg string) bool {
		return slices.ContainsFunc(lines, func(l map[string]any) bool {
			text, _ := l["msg"].(string)
			return l[who] == id && strings.Contains(text, msg) && l["job"] == job.Uid
		})
	}
	for _, worker := range []string{"worker-1", "worker-2"} {
		for _, msg := range []string{"joined the ring", "session ended"} {
			if !find(followed, "worker", worker, msg) {
				t.Errorf("followed, there is no %q of %s: %v", msg, worker, followed)
			}
		}
	}
	for i, address := range gr.addresses {
		all := jsonLines(t, logs(address, "-o", "json"))
		if len(all) < len(followed) {
			t.Errorf("coordinator %d shows %d lines, followed were %d", i+1, len(all), len(followed))
		}
		if !slices.IsSortedFunc(all, func(a, b map[string]any) int { return strings.Compare(a["time"].(string), b["time"].(string)) }) {
			t.Errorf("coordinator %d shows lines out of order", i+1)
		}
		if !slices.ContainsFunc(all, func(l map[string]any) bool {
			return l["coordinator"] != nil && strings.Contains(l["msg"].(string), "complete")
		}) {
			t.Errorf("coordinator %d shows no line of a coordinator about the end: %v", i+1, all)
		}
	}
	text := logs(gr.addresses[1], "--worker", "worker-2", "--level", "info", "--since", "1h")
	if !strings.Contains(text, "INFO   worker-2        joined the ring  generation=1  rank=") || strings.Contains(text, "worker-1") || strings.Contains(text, "job") {
		t.Errorf("of worker-2: %s", text)
	}
	if text := logs(gr.addresses[1], "--level", "error"); text != "" {
		t.Errorf("errors of a job that went well: %s", text)
	}
	if code, _, stderr := sslctl("", "logs", "tiyn", "--addr", gr.addresses[2]); code != exitNotFound || !strings.Contains(stderr, `did you mean "tiny"`) {
		t.Errorf("a job that there is not: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"--level", "loud"}, {"--since", "-1s"}} {
		if code, _, stderr := sslctl("", append([]string{"logs", "tiny"}, args...)...); code != exitUsage || !strings.Contains(stderr, "expected") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// TestNoSecretIsLogged lets a job fail at a store that does not answer. What it waits for is said and measured;
// what it would have shown the store is not.
func TestNoSecretIsLogged(t *testing.T) {
	t.Setenv("SSLCTL_SECRET_VAULT_ACCESS_KEY", "AKvisible0access")
	t.Setenv("SSLCTL_SECRET_VAULT_SECRET_KEY", "SKvisible0secret")
	ctx, gr, c := startTestGroup(t, 1, 1)
	job := submitTiny(ctx, t, c, "1", func(j *jobspec.Job) {
		j.Spec.Dataset.URI = "s3://images/tiny-*.tar"
		j.Spec.Dataset.Access = jobspec.Access{Endpoint: "http://" + refused(t), SecretRef: &jobspec.SecretRef{Name: "vault"}}
	})
	labels := []string{"job_uid", job.Uid, "store", "dataset"}
	for {
		retries, _ := value(scrape(t, gr.addresses[0]), "sslctl_store_retries_total", labels...)
		waited, _ := value(scrape(t, gr.addresses[0]), "sslctl_store_wait_seconds_total", labels...)
		if retries >= 2 && waited > 0 {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("after %v retries and a wait of %v s", retries, waited)
		}
	}
	if _, err := c.cancel(ctx, job.Uid); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := sslctl("", "logs", "tiny", "-f", "--addr", gr.addresses[0], "--timeout", "10s")
	kept, err := os.ReadFile(gr.logFile.Name())
	if code != 0 || err != nil || !strings.Contains(stdout, "waiting for a store") || !strings.Contains(string(kept), "waiting for a store") {
		t.Fatalf("exit code %d, stderr %s, %v, logged: %s", code, stderr, err, stdout)
	}
	if all := stdout + string(kept); strings.Contains(all, "visible0") {
		t.Errorf("a credential is in the log:\n%s", all)
	}
}

// TestLogsFollowThroughALostLeader closes the coordinator that answers; following goes on at another one, and no line comes twice.
func TestLogsFollowThroughALostLeader(t *testing.T) {
	ctx, gr, c := startTestGroup(t, 1, 3)
	job := submitTiny(ctx, t, c, "1000000", every(1000000))
	out := &awaited{text: "joined the ring", seen: make(chan struct{})}
	g := &globals{out: out, err: new(bytes.Buffer), addresses: gr.addresses, timeout: 10 * time.Second, output: "json"}
	ended := make(chan error, 1)
	go func() { ended <- runLogs(ctx, g, job.Uid, zapcore.DebugLevel, logsOptions{follow: true}) }()
	<-out.seen
	for _, node := range gr.nodes {
		if node.IsLeader() {
			if err := node.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if _, err := c.cancel(ctx, job.Uid); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		if seen[line] {
			t.Errorf("twice: %s", line)
		}
		seen[line] = true
	}
	if !strings.Contains(out.String(), `"event":"Cancelled"`) {
		t.Errorf("the end is not shown: %s", out.String())
	}
}

func TestLogPrinterSaysWhatIsMissing(t *testing.T) {
	var out, err bytes.Buffer
	p := &logPrinter{g: &globals{out: &out, err: &err, output: "table"}, lost: map[string]uint64{}, shown: map[string]int64{}}
	line := func(at int64, worker string, lost uint64, text string) *sslctlv1.LogLine {
		return &sslctlv1.LogLine{UnixNano: at, WorkerId: worker, Lost: lost, Json: `{"level":"info","msg":"` + text + `","job":"7","worker":"` + worker + `","why":"a \"b\"","n":3}`}
	}
	for _, m := range []*sslctlv1.TailResponse{
		{LeftOut: 12, Lines: []*sslctlv1.LogLine{line(1e9, "w1", 5, "one"), line(2e9, "w2", 0, "two")}},
		{},
		{LeftOut: 14, Lines: []*sslctlv1.LogLine{line(2e9, "w2", 0, "two"), line(3e9, "w1", 9, "three")}}, // of another coordinator
	} {
		if err := p.print(m); err != nil {
			t.Fatal(err)
		}
	}
	wantOut := `1970-01-01T00:00:01.000Z  INFO   w1              one  why="a \"b\""  n=3
1970-01-01T00:00:02.000Z  INFO   w2              two  why="a \"b\""  n=3
1970-01-01T00:00:03.000Z  INFO   w1              three  why="a \"b\""  n=3
`
	wantErr := "12 older lines are not kept any more\n4 lines of w1 did not get here; its own log has them\n"
	if out.String() != wantOut || err.String() != wantErr {
		t.Errorf("printed %s and %s", out.String(), err.String())
	}
	if got := p.resume(); got != 0 {
		t.Errorf("another coordinator is asked from %d ms on", got)
	}
}
