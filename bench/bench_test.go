package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

func TestCallsATurn(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		n, warm int
	}{{1e-6, most, 1}, {0.01, 15, 1}, {0.07, 2, 0}, {3, 1, 0}} {
		if n, warm := calls(c.seconds); n != c.n || warm != c.warm {
			t.Errorf("a call of %v s: %d calls after %d, want %d after %d", c.seconds, n, warm, c.n, c.warm)
		}
	}
}

func TestVerdict(t *testing.T) {
	with := func(ours, ratio float64, b bar) figure {
		f := figure{Ours: ours, bar: b}
		if ratio > 0 {
			f.against(ours/ratio, ratio)
		}
		return f
	}
	for _, c := range []struct {
		f    figure
		want string
	}{
		{with(5, 0.5, ratioBar(0.5)), "met"},
		{with(5, 0.51, ratioBar(0.5)), "not met"},
		{with(5, 0, ratioBar(0.5)), ""},
		{with(5, 9, bar{}), ""},
		{with(0, 0, absoluteBar(0)), "met"},
		{with(2.1, 0, absoluteBar(2)), "not met"},
	} {
		if got := c.f.verdict(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.f, got, c.want)
		}
	}
}

func TestResultsAreAListWithNullsWhereThePeerIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	missed := compared("a.256", "sgemm", pair{ours: 0.002, peerName: missing{"torch"}.Error()}, ratioBar(1))
	if err := writeResults(path, []figure{missed, compared("b", "conv", pair{0.002, 0.004, "other 1.0"}, ratioBar(1))}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"id", "work", "ours", "peer", "peerName", "unit", "ratio"} {
		if _, ok := got[0][key]; !ok || len(got[0]) != 7 {
			t.Errorf("%v: it lacks %s or has more than is promised", got[0], key)
		}
	}
	if got[0]["peer"] != nil || got[0]["ratio"] != nil || !strings.HasPrefix(got[0]["peerName"].(string), "torch: not installed") {
		t.Errorf("a missing peer is %v", got[0])
	}
	if got[1]["peer"] != 4.0 || got[1]["ratio"] != 0.5 || got[1]["unit"] != "ms" {
		t.Errorf("a comparison is %v", got[1])
	}
}

func TestTableNamesBarsAndVerdicts(t *testing.T) {
	var out strings.Builder
	scratch := figure{ID: "e.scratch", Work: "scratch", Ours: 1, Unit: "MB", bar: absoluteBar(2)}
	if err := writeTable(&out, []figure{compared("a", "sgemm", pair{0.001, 0.0005, "other 1.0"}, ratioBar(1/0.92)), scratch}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"a sgemm 1 0.5 ms 2.000 ratio ≤ 1.087 not met other 1.0", "e.scratch scratch 1 - MB - ≤ 2 met"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(rows) {
		t.Errorf("no letters: %d rows, %v", len(all), err)
	}
	if some, err := choose("ca"); err != nil || len(some) != 2 || some[0].letter != "a" {
		t.Errorf("ca: %v, %v", some, err)
	}
	if _, err := choose("a!"); err == nil || !strings.Contains(err.Error(), `"!"`) {
		t.Errorf("an unknown letter: %v", err)
	}
}

// Without Python and with libraries missing, ours is measured all the same.
func TestMissingPeers(t *testing.T) {
	b := &bench{interpreter: filepath.Join(t.TempDir(), "python"), peers: "peers", threads: 1, rounds: 1}
	for what, interpreter := range map[string]string{"Python": b.interpreter, "torch": answering(t, `{"missing": "torch"}`)} {
		b.interpreter = interpreter
		p, err := b.compare(context.Background(), func() { time.Sleep(time.Microsecond) }, "conv", nil)
		if err != nil || p.ours <= 0 || p.theirs != 0 || !strings.HasPrefix(p.peerName, what+": not installed") {
			t.Errorf("without %s: %+v, %v", what, p, err)
		}
	}
}

func TestPeerThatFails(t *testing.T) {
	for what, interpreter := range map[string]string{"out of memory": answering(t, `{"error": "out of memory"}`), "no answer": answering(t, "")} {
		b := &bench{interpreter: interpreter, peers: "peers", threads: 1, rounds: 1}
		if _, err := b.compare(context.Background(), func() {}, "conv", nil); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCompareTakesTurns(t *testing.T) {
	b := &bench{interpreter: answering(t, `{"name": "other 1.0", "seconds": [3, 5]}`), peers: "peers", threads: 1, rounds: 2}
	p, err := b.compare(context.Background(), func() {}, "conv", nil)
	if err != nil || p.theirs != 4 || p.ours <= 0 || p.peerName != "other 1.0" {
		t.Errorf("%+v, %v", p, err)
	}
}

// answering is a program that answers every line with the same one, or ends where that is empty.
func answering(t *testing.T, line string) string {
	path := filepath.Join(t.TempDir(), "python")
	script := "#!/bin/sh\nwhile read -r request; do echo '" + line + "'; done\n"
	if line == "" {
		script = "#!/bin/sh\n"
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPassedTests(t *testing.T) {
	event := func(action, folder, test string) string {
		return `{"Action":"` + action + `","Package":"github.com/sslctl/sslctl/` + folder + `","Test":"` + test + `"}` + "\n"
	}
	good := "what is not JSON\n" + event("run", "pkg/simd", "TestA") + event("pass", "pkg/simd", "TestA") + event("fail", "pkg/simd", "TestB")
	if got := passedIn([]byte(good)); !got["pkg/simd TestA"] || got["pkg/simd TestB"] || got["pkg/nn TestA"] {
		t.Errorf("passed: %v", got)
	}
	if got := passedIn([]byte(good + event("fail", "test/fixtures", "TestDefinitions"))); got["pkg/simd TestA"] {
		t.Errorf("with wrong definitions: %v", got)
	}
}

func TestARowWithoutPeers(t *testing.T) {
	root := t.TempDir()
	if err := run(context.Background(), []string{"-row", "a", "-rounds", "1", "-python", filepath.Join(root, "python"), "-root", root, "-results", "results.json"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var figures []figure
	if err := json.Unmarshal(data, &figures); err != nil || len(figures) != 3 {
		t.Fatalf("%s: %v", data, err)
	}
	for _, f := range figures {
		if !strings.HasPrefix(f.ID, "a.") || f.Ours <= 0 || f.Peer != nil || f.Ratio != nil || f.Unit != "ms" {
			t.Errorf("%+v", f)
		}
	}
}

func TestScratchIsWhatTheFirstCallAllocates(t *testing.T) {
	var keep []byte
	if got := scratch(func() { keep = make([]byte, 3<<20) }); got < 3<<20 || got > 4<<20 || len(keep) == 0 {
		t.Errorf("%v bytes, want 3 MiB", got)
	}
}

// Five steps are done between any two looks at the counter, and other series do not count.
func TestRateOfAJob(t *testing.T) {
	var steps atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# HELP sslctl_job_steps_total Steps.\nsslctl_job_steps_total{worker=\"1\"} %d\nsslctl_job_steps_other 7\n", steps.Add(5))
	}))
	defer server.Close()
	dir := t.TempDir()
	folder := filepath.Join(dir, "run-1")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	log := "{}\n" + `{"msg":"` + addressInLog + `","on":"` + strings.TrimPrefix(server.URL, "http://") + `"}` + "\n"
	if err := os.WriteFile(filepath.Join(folder, "log"), []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	rate, err := rateOfJob(t.Context(), dir)
	if err != nil || rate <= 0 || steps.Load() < demoWarm+demoSteps {
		t.Errorf("rate %v after %d steps, %v", rate, steps.Load(), err)
	}
}

func TestRateOfAJobThatEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rateOfJob(ctx, t.TempDir()); err == nil || !strings.Contains(err.Error(), "wait for metrics") {
		t.Errorf("without a log: %v", err)
	}
}
