package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
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
	job := submitTiny(ctx, t, c, "30", 10)
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
