package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// watched is a model that has seen a busy cluster.
func watched(width, height int) watchModel {
	j := running(20)
	j.Members, j.Shards, j.Evaluations, j.SamplesPerEpoch = completed().Members, completed().Shards, completed().Evaluations, 10300
	for _, x := range j.Members {
		x.Phase = "running"
	}
	for i := range 20 {
		j.Ledger = append(j.Ledger, &sslctlv1.LedgerEntry{FirstStep: uint64(i), LastStep: uint64(i + 1), MeanLoss: 6 + 3*math.Exp2(-float64(i)/5)})
	}
	waiting := &sslctlv1.Job{Name: "a-job-with-a-very-long-name-that-will-not-fit", Uid: "9", State: sslctlv1.JobState_JOB_STATE_WAITING, EpochsTotal: 10, Reason: "needs 4 workers; 1 is free, 2 are busy"}
	jobs := []*sslctlv1.Job{j, waiting}
	for i := range 12 {
		jobs = append(jobs, &sslctlv1.Job{Name: fmt.Sprintf("old-%d", 12-i), Uid: fmt.Sprint(100 - i), State: sslctlv1.JobState_JOB_STATE_COMPLETED, Step: 40, StepsTotal: 40,
			Epoch: 1, EpochsTotal: 1, Loss: 6.25, Evaluations: completed().Evaluations})
	}
	jobs[4].State = sslctlv1.JobState_JOB_STATE_FAILED
	jobs[4].Reason = "worker a: store the checkpoint of step 60: put file:///data/checkpoints/old-10-98/step-0000000060/replicated.safetensors: no space left; free some space below /data/checkpoints or name another folder"
	m := watchModel{looks: newLooks(lipgloss.NewRenderer(io.Discard)), width: width, height: height}
	return m.saw(seen{
		at: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), job: j, ledger: true, jobs: jobs,
		cluster: &sslctlv1.GetClusterResponse{
			Cluster: "default", LeaderId: "b", Coordinators: []*sslctlv1.Coordinator{{Id: "a", State: "silent"}, {Id: "b", State: "leader"}, {Id: "c", State: "follower"}},
			Workers: []*sslctlv1.Worker{
				{Id: "a", State: "busy", JobUid: "7", Cores: 8, Host: "host-a", LastSeenMsAgo: 90}, {Id: "b", State: "busy", JobUid: "7", Cores: 8, Host: "host-b", LastSeenMsAgo: 120},
				{Id: "c", State: "lost", Cores: 64, Host: "host-c.example", LastSeenMsAgo: 65_000},
			},
		},
		events: []*sslctlv1.Event{
			{UnixMs: 1769860700000, WorkerId: "c", Message: "registered with incarnation 3"},
			{UnixMs: 1769860790000, JobName: "small", Message: "generation 1 starts at step 0 with a, b: submitted"},
			{UnixMs: 1769860795000, JobName: "a-job-with-a-very-long-name-that-will-not-fit", Message: "waits: needs 4 workers; 1 is free, 2 are busy"},
			{UnixMs: 1769860799000, JobName: "small", Message: "checkpoint of step 20: file:///c/small-7/step-0000000020", Warning: true},
		},
	})
}

func TestWatchScreen(t *testing.T) {
	for _, size := range []struct {
		file          string
		width, height int
	}{{"testdata/watch-80x24.txt", 80, 24}, {"testdata/watch-160x50.txt", 160, 50}} {
		compareGolden(t, size.file, watched(size.width, size.height).View()+"\n")
	}
}

// Whatever the size, the screen is as high as the terminal and no wider.
func TestWatchScreenFits(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {20, 3}, {20, 5}, {40, 10}, {80, 24}, {100, 60}, {119, 30}, {120, 30}, {300, 100}} {
		m := watched(80, 24)
		next, _ := m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		lines := strings.Split(next.View(), "\n")
		if len(lines) != size[1] {
			t.Errorf("%d×%d: %d lines", size[0], size[1], len(lines))
		}
		for _, line := range lines {
			if w := ansi.StringWidth(line); w > size[0] {
				t.Errorf("%d×%d: %d wide: %q", size[0], size[1], w, line)
			}
		}
	}
	empty := watchModel{looks: newLooks(lipgloss.NewRenderer(io.Discard)), width: 80, height: 24}
	if view := empty.saw(seen{cluster: &sslctlv1.GetClusterResponse{}}).View(); strings.Count(view, "\n") != 23 {
		t.Errorf("an empty cluster:\n%s", view)
	}
}

// Keys choose the job and end the screen; a lost coordinator leaves what was seen, and says so.
func TestWatchScreenKeys(t *testing.T) {
	var m tea.Model = watched(80, 24)
	press := func(key tea.KeyMsg) tea.Cmd {
		var cmd tea.Cmd
		m, cmd = m.Update(key)
		return cmd
	}
	press(tea.KeyMsg{Type: tea.KeyDown})
	if view := m.View(); !strings.Contains(view, "> a-job") || !strings.Contains(view, "JOB a-job-with") {
		t.Errorf("after the arrow down:\n%s", view)
	}
	press(tea.KeyMsg{Type: tea.KeyUp})
	if view := m.View(); !strings.Contains(view, "> small") {
		t.Errorf("after the arrow up:\n%s", view)
	}
	m, _ = m.Update(looked{err: errUnreachable})
	if view := m.View(); !strings.Contains(view, "not renewed since 12:00:00: no coordinator answers") || !strings.Contains(view, "small") {
		t.Errorf("without coordinators:\n%s", view)
	}
	if cmd := press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not end the screen")
	}
}

// However far the cursor goes, it is on the screen, and so is the job that runs.
func TestWatchScreenKeepsTheRunningJob(t *testing.T) {
	var m tea.Model = watched(80, 24)
	for range 13 {
		m, _ = m.Update(tea.KeyMsg{Type: tea.KeyDown})
		if view := m.View(); !strings.Contains(view, "\n  small ") || !strings.Contains(view, "\n> ") {
			t.Fatalf("the cursor or the running job is missing:\n%s", view)
		}
	}
	compareGolden(t, "testdata/watch-last-80x24.txt", m.View()+"\n")
}

// A job that starts is shown in place of one that has ended or waits, unless somebody has picked that.
func TestWatchChooses(t *testing.T) {
	job := func(uid string, state sslctlv1.JobState) *sslctlv1.Job { return &sslctlv1.Job{Uid: uid, State: state} }
	runs, waits := job("4", sslctlv1.JobState_JOB_STATE_RUNNING), job("3", sslctlv1.JobState_JOB_STATE_WAITING)
	done, old := job("2", sslctlv1.JobState_JOB_STATE_COMPLETED), job("1", sslctlv1.JobState_JOB_STATE_FAILED)
	for _, test := range []struct {
		jobs   []*sslctlv1.Job
		uid    string
		picked bool
		want   string
	}{
		{[]*sslctlv1.Job{runs, waits, done}, "", false, "4"},
		{[]*sslctlv1.Job{runs, waits, done}, "2", false, "4"},
		{[]*sslctlv1.Job{runs, waits, done}, "2", true, "2"},
		{[]*sslctlv1.Job{runs, waits, done}, "3", false, "4"},
		{[]*sslctlv1.Job{waits, done}, "3", false, "3"},
		{[]*sslctlv1.Job{job("5", sslctlv1.JobState_JOB_STATE_STARTING), runs}, "4", false, "4"},
		{[]*sslctlv1.Job{done, old}, "1", false, "1"},
		{[]*sslctlv1.Job{done, old}, "9", true, "2"}, // it was deleted
	} {
		if got := choose(test.jobs, test.uid, test.picked); got.Uid != test.want {
			t.Errorf("of %v, %q, picked %v: %s, want %s", test.jobs, test.uid, test.picked, got.Uid, test.want)
		}
	}
}

// Without an accuracy the screen says why.
func TestWatchWithoutKNN(t *testing.T) {
	evaluate := "  evaluate: {train: {uri: file:///x.tar}, test: {uri: file:///y.tar}}\n"
	for want, j := range map[string]*sslctlv1.Job{
		"not measured (no evaluate in the job)": {SpecYaml: []byte(jobFile), State: sslctlv1.JobState_JOB_STATE_RUNNING},
		"no values yet":                         {SpecYaml: []byte(jobFile + evaluate), State: sslctlv1.JobState_JOB_STATE_RUNNING},
		"not measured":                          {SpecYaml: []byte(jobFile + evaluate), State: sslctlv1.JobState_JOB_STATE_FAILED},
	} {
		if got := withoutKNN(j); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Without coordinators the whole reason is on the screen.
func TestWatchScreenTellsTheWholeError(t *testing.T) {
	m, _ := watched(80, 24).Update(looked{err: fmt.Errorf("reading the cluster: %w within 10s (127.0.0.1:7600: connection refused); are these the right addresses?", errUnreachable)})
	lines := strings.Split(m.View(), "\n")
	if end := strings.Join(lines[22:], " "); len(lines) != 24 || !strings.Contains(end, "127.0.0.1:7600: connection refused") || !strings.Contains(end, "addresses?") {
		t.Errorf("%d lines, the last %q", len(lines), end)
	}
}

func TestWatchCurve(t *testing.T) {
	label := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	got := strings.Join(curve{{0, 0}, {1, 1}, {2, math.NaN()}, {3, 4}}.plot(6, 2, label), "\n")
	if want := "4   ⡠⠊\n0 ⡠⠊"; got != want {
		t.Errorf("plotted\n%s\nwant\n%s", got, want)
	}
	if flat := (curve{{1, 5}}).plot(4, 3, label); strings.Join(flat, "|") != "|5  ⠐|" {
		t.Errorf("one value is plotted as %q", flat)
	}
}
