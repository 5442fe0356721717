package main

import (
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
	m := watchModel{looks: newLooks(lipgloss.NewRenderer(io.Discard)), width: width, height: height}
	return m.saw(seen{
		at: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), job: j, jobs: []*sslctlv1.Job{waiting, j},
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
	for _, size := range [][2]int{{20, 5}, {40, 10}, {80, 24}, {100, 60}, {119, 30}, {120, 30}, {300, 100}} {
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
	press(tea.KeyMsg{Type: tea.KeyUp})
	if view := m.View(); !strings.Contains(view, "> a-job") || !strings.Contains(view, "JOB a-job-with") {
		t.Errorf("after the arrow up:\n%s", view)
	}
	press(tea.KeyMsg{Type: tea.KeyDown})
	if view := m.View(); !strings.Contains(view, "> small") {
		t.Errorf("after the arrow down:\n%s", view)
	}
	m, _ = m.Update(looked{err: errUnreachable})
	if view := m.View(); !strings.Contains(view, "not renewed since 12:00:00: no coordinator answers") || !strings.Contains(view, "small") {
		t.Errorf("without coordinators:\n%s", view)
	}
	if cmd := press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not end the screen")
	}
}

func TestWatchCurve(t *testing.T) {
	got := strings.Join(curve{{0, 0}, {1, 1}, {2, math.NaN()}, {3, 4}}.plot(6, 2, "%.0f"), "\n")
	if want := "4    █\n0 ▁▅▅█"; got != want {
		t.Errorf("plotted\n%s\nwant\n%s", got, want)
	}
}
