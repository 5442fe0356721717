package main

import (
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
loss and kNN accuracy, who owns which virtual ranks, bank shards and data shards, and what has happened. The arrows choose the job, q ends it.

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
		m.chosen = job.Uid
	}
	if m.seen, err = look(ctx, c, m.chosen, true); err != nil { // what is wrong from the first is an error, not a screen
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
	jobs    []*sslctlv1.Job // the newest first
	job     *sslctlv1.Job   // the chosen one, with its shards; nil: there is none
	events  []*sslctlv1.Event
}

// look asks for all that is drawn; see choose for the job. Its ledger comes only where wanted, since that may be long.
func look(ctx context.Context, c *client, uid string, ledger bool) (s seen, err error) {
	if s.cluster, err = c.getCluster(ctx); err != nil {
		return s, err
	}
	jobs, err := c.list(ctx)
	if err != nil {
		return s, err
	}
	for i := len(jobs) - 1; i >= 0; i-- {
		s.jobs = append(s.jobs, jobs[i])
	}
	if chosen := choose(s.jobs, uid); chosen != nil {
		if s.job, err = c.get(ctx, &sslctlv1.GetRequest{Job: chosen.Uid, Wide: true, Ledger: ledger}); err != nil {
			return s, err
		}
	}
	s.events, err = c.events(ctx, &sslctlv1.ListEventsRequest{Limit: 100})
	s.at = time.Now()
	return s, err
}

// choose is the job with the UID, or else the newest that has workers, or has not ended, or else the newest.
func choose(jobs []*sslctlv1.Job, uid string) *sslctlv1.Job {
	for _, good := range []func(*sslctlv1.Job) bool{
		func(j *sslctlv1.Job) bool { return j.Uid == uid },
		func(j *sslctlv1.Job) bool { return !ended(j.State) && len(j.Members) > 0 },
		func(j *sslctlv1.Job) bool { return !ended(j.State) },
		func(*sslctlv1.Job) bool { return true },
	} {
		if i := slices.IndexFunc(jobs, good); i >= 0 {
			return jobs[i]
		}
	}
	return nil
}

// watchModel is what is on the screen, and what the next key or look makes of it.
type watchModel struct {
	looks         looks
	width, height int
	ctx           context.Context
	client        *client // used by one look at a time

	chosen string // UID of the job that is shown; empty: choose one
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
		uid, ledger := m.chosen, m.of != m.chosen
		return m, func() tea.Msg {
			s, err := look(m.ctx, m.client, uid, ledger)
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

// move chooses another job; the next look brings it.
func (m *watchModel) move(by int) {
	for i, j := range m.seen.jobs {
		if m.seen.job != nil && j.Uid == m.seen.job.Uid && i+by >= 0 && i+by < len(m.seen.jobs) {
			m.chosen = m.seen.jobs[i+by].Uid
			m.seen.job = m.seen.jobs[i+by]
			m.losses, m.of = nil, ""
			return
		}
	}
}

// saw takes what a look has shown. The curve begins with the ledger and goes on with what is seen.
func (m watchModel) saw(s seen) watchModel {
	if m.chosen != "" && s.job != nil && s.job.Uid != m.chosen {
		s.job = nil // another was chosen meanwhile
	}
	m.seen, m.err = s, nil
	j := s.job
	if j == nil {
		return m
	}
	if m.of != j.Uid {
		if m.chosen == "" {
			m.chosen = j.Uid
		}
		m.losses, m.of = nil, j.Uid
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
