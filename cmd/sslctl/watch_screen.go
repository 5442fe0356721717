package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newWatchCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "watch [JOB]",
		Short: "Watch the cluster on the whole screen: jobs, workers, curves, shards, events",
		Long: `Draws the cluster on the whole terminal and renews it twice a second: coordinators, jobs, workers, and of one job its progress, the curves of its
loss and kNN accuracy, who owns which virtual ranks, bank shards and data shards, and what has happened. Jobs that workers are at come first, then
those that wait, then those that have ended, the newest first. The arrows choose the job; until then, and without JOB, it is one that runs. q ends it.

NO_COLOR=1 draws without colours. Where standard output is no terminal, sslctl status --watch prints the same figures, and sslctl events --follow
and sslctl logs --follow what happens.`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			job := ""
			if len(args) == 1 {
				job = args[0]
			}
			if g.output != "table" {
				return &usageError{fmt.Sprintf("watch draws on the screen and has no form %q; sslctl status --watch -o %s streams the figures", g.output, g.output), cmd.CommandPath()}
			}
			if _, ok := terminalWidth(g.out); !ok {
				return &usageError{"standard output is no terminal; sslctl status --watch prints the figures, sslctl events --follow what happens", cmd.CommandPath()}
			}
			return runWatch(cmd.Context(), g, job)
		},
	}
}

// watchEvery is the time between two looks at the cluster.
const watchEvery = 500 * time.Millisecond

func runWatch(ctx context.Context, g *globals, name string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	m := watchModel{looks: newLooks(lipgloss.NewRenderer(g.out)), width: 80, height: 24, ctx: ctx, client: c}
	if name != "" {
		job, err := c.get(ctx, &sslctlv1.GetRequest{Job: name})
		if err != nil {
			return err
		}
		m.chosen, m.picked = job.Uid, true
	}
	if m.seen, err = look(ctx, c, m.chosen, m.picked, m.of); err != nil { // what is wrong from the first is an error, not a screen
		return err
	}
	m = m.saw(m.seen)
	p := tea.NewProgram(m, tea.WithAltScreen(), tea.WithContext(ctx), tea.WithInput(g.in), tea.WithOutput(g.out), tea.WithoutSignalHandler())
	if _, err := p.Run(); err != nil && ctx.Err() == nil { // an interrupt is how watching ends
		return fmt.Errorf("drawing on the terminal: %w", err)
	}
	return nil
}

// seen is one look at the cluster.
type seen struct {
	at      time.Time
	cluster *sslctlv1.GetClusterResponse
	jobs    []*sslctlv1.Job // those that workers are at, then those that wait, then the ended ones; the newest first
	job     *sslctlv1.Job   // the chosen one, with its shards; nil: there is none
	ledger  bool            // the job has its ledger
	events  []*sslctlv1.Event
}

// look asks for all that is drawn; see choose for the job. Its ledger, which may be long, comes only for another job than the one with the UID of.
func look(ctx context.Context, c *client, uid string, picked bool, of string) (s seen, err error) {
	if s.cluster, err = c.getCluster(ctx); err != nil {
		return s, err
	}
	if s.jobs, err = c.list(ctx); err != nil {
		return s, err
	}
	slices.Reverse(s.jobs)
	slices.SortStableFunc(s.jobs, func(a, b *sslctlv1.Job) int { return cmp.Compare(place(a), place(b)) })
	if chosen := choose(s.jobs, uid, picked); chosen != nil {
		s.ledger = chosen.Uid != of
		if s.job, err = c.get(ctx, &sslctlv1.GetRequest{Job: chosen.Uid, Wide: true, Ledger: s.ledger}); err != nil {
			return s, err
		}
	}
	s.events, err = c.events(ctx, &sslctlv1.ListEventsRequest{Limit: 100})
	s.at = time.Now()
	return s, err
}

// active tells whether workers are at a job in this state.
func active(s sslctlv1.JobState) bool {
	return s == sslctlv1.JobState_JOB_STATE_STARTING || s == sslctlv1.JobState_JOB_STATE_RUNNING || s == sslctlv1.JobState_JOB_STATE_PAUSING
}

// place is where a job stands among the others: those that workers are at, those that wait, those that have ended.
func place(j *sslctlv1.Job) int {
	switch {
	case active(j.State):
		return 0
	case !ended(j.State):
		return 1
	}
	return 2
}

// choose is the job with the UID while somebody has picked it or no other has a better place, or else the first, of jobs in order of place.
func choose(jobs []*sslctlv1.Job, uid string, picked bool) *sslctlv1.Job {
	if len(jobs) == 0 {
		return nil
	}
	i := slices.IndexFunc(jobs, func(j *sslctlv1.Job) bool { return j.Uid == uid })
	if i >= 0 && (picked || place(jobs[i]) <= place(jobs[0])) {
		return jobs[i]
	}
	return jobs[0]
}

// watchModel is what is on the screen, and what the next key or look makes of it.
type watchModel struct {
	looks         looks
	width, height int
	ctx           context.Context
	client        *client // used by one look at a time

	chosen string // UID of the job that is shown; empty: choose one
	picked bool   // by a key or an argument: it stays
	seen   seen
	losses curve // by step, of the job with the UID of
	of     string
	err    error // of the last look
}

// looked is the end of a look.
type looked struct {
	seen seen
	err  error
}

// lookAgain says that it is time for a look.
type lookAgain struct{}

// Init is part of tea.Model.
func (m watchModel) Init() tea.Cmd { return m.pause() }

// pause leads to the next look.
func (m watchModel) pause() tea.Cmd {
	return tea.Tick(watchEvery, func(time.Time) tea.Msg { return lookAgain{} })
}

// Update is part of tea.Model.
func (m watchModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return m.key(msg.String())
	case lookAgain:
		return m, func() tea.Msg {
			s, err := look(m.ctx, m.client, m.chosen, m.picked, m.of)
			return looked{s, err}
		}
	case looked:
		if msg.err != nil {
			m.err = msg.err
			return m, m.pause()
		}
		return m.saw(msg.seen), m.pause()
	}
	return m, nil
}

func (m watchModel) key(name string) (tea.Model, tea.Cmd) {
	switch name {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	}
	return m, nil
}

// cursor is the index of the job that is shown, or -1.
func (m watchModel) cursor() int {
	return slices.IndexFunc(m.seen.jobs, func(j *sslctlv1.Job) bool { return m.seen.job != nil && j.Uid == m.seen.job.Uid })
}

// move picks another job; the next look brings more of it.
func (m *watchModel) move(by int) {
	i := m.cursor()
	if i < 0 || i+by < 0 || i+by >= len(m.seen.jobs) {
		return
	}
	m.seen.job = m.seen.jobs[i+by]
	m.chosen, m.picked = m.seen.job.Uid, true
	m.losses, m.of = nil, ""
}

// saw takes what a look has shown. The curve begins with the ledger and goes on with what is seen.
func (m watchModel) saw(s seen) watchModel {
	m.err = nil
	if m.picked && s.job != nil && s.job.Uid != m.chosen {
		if i := slices.IndexFunc(s.jobs, func(j *sslctlv1.Job) bool { return j.Uid == m.chosen }); i >= 0 {
			s.job = s.jobs[i] // picked while the look was under way; the next brings more of it
			m.seen = s
			return m
		}
		m.picked = false // it was deleted
	}
	m.seen = s
	j := s.job
	if j == nil {
		return m
	}
	m.chosen = j.Uid
	if m.of != j.Uid {
		if m.losses, m.of = nil, j.Uid; !s.ledger {
			m.of = "" // it was shown, left and picked again while the look was under way
		}
		for _, e := range j.Ledger {
			m.losses = append(m.losses, point{float64(e.LastStep), e.MeanLoss})
		}
	}
	if n := len(m.losses); j.Step > 0 && (n == 0 || m.losses[n-1].x < float64(j.Step)) {
		m.losses = append(m.losses, point{float64(j.Step), j.Loss})
	} else {
		m.losses = m.losses.until(float64(j.Step)) // steps that are done again
	}
	return m
}

// View is part of tea.Model.
func (m watchModel) View() string { return m.looks.draw(m) }
