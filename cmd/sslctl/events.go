package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type eventsOptions struct {
	follow bool
	limit  uint32
}

// eventReport is an event as -o json and -o yaml show it.
type eventReport struct {
	ID         uint64 `json:"id"`
	Time       string `json:"time"`
	Reason     string `json:"reason"`
	Job        string `json:"job,omitempty"`
	UID        string `json:"uid,omitempty"`
	Worker     string `json:"worker,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	Step       uint64 `json:"step,omitempty"`
	Warning    bool   `json:"warning"`
	Message    string `json:"message"`
}

func newEventsCommand(g *globals) *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events [JOB]",
		Short: "Show what has happened to a job, or to all jobs and workers",
		Long: `Shows what has happened, oldest first. The coordinators keep the newest 100 events of each job, and the newest 400 of the workers and of
deleted jobs; of what a healthy job does again and again (checkpoints, evaluations), fewer.`,
		Example: "  sslctl events --follow",
		Args:    arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			job := ""
			if len(args) == 1 {
				job = args[0]
			}
			return runEvents(cmd.Context(), g, job, o)
		},
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with each new event, until the job ends or an interrupt; one line of JSON each with -o json")
	cmd.Flags().Uint32Var(&o.limit, "limit", 0, "show only the newest so many of those that are there (default: all)")
	return cmd
}

func runEvents(ctx context.Context, g *globals, job string, o eventsOptions) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	if o.follow {
		err := c.followEvents(ctx, &sslctlv1.WatchEventsRequest{Job: job, Limit: o.limit}, g.printEvent)
		if errors.Is(err, context.Canceled) {
			return nil // an interrupt is how following ends
		}
		return err
	}
	events, err := c.events(ctx, &sslctlv1.ListEventsRequest{Job: job, Limit: o.limit})
	if err != nil {
		return err
	}
	reports := make([]eventReport, len(events))
	for i, e := range events {
		reports[i] = reportEvent(e)
	}
	return g.print(reports, func(w io.Writer, _ bool) { eventTable(w, events) })
}

// printEvent prints one event of a stream.
func (g *globals) printEvent(e *sslctlv1.Event) error {
	switch g.output {
	case "json":
		return writeJSONLine(g.out, reportEvent(e))
	case "yaml":
		fmt.Fprintln(g.out, "---")
		return writeYAML(g.out, reportEvent(e))
	}
	_, err := fmt.Fprintln(g.out, eventLine(e))
	return err
}

func reportEvent(e *sslctlv1.Event) eventReport {
	return eventReport{e.Id, timeText(e.UnixMs), e.Reason, e.JobName, e.JobUid, e.WorkerId, e.Generation, e.Step, e.Warning, e.Message}
}

// eventTable lists events. Lines of a stream look alike, so the widths are fixed.
func eventTable(w io.Writer, events []*sslctlv1.Event) {
	for _, e := range events {
		fmt.Fprintln(w, eventLine(e))
	}
}

func eventLine(e *sslctlv1.Event) string {
	about := "worker " + e.WorkerId
	if e.JobName != "" {
		about = "job " + e.JobName
	}
	return fmt.Sprintf("%s  %-16s  %-20s  %s", timeText(e.UnixMs), e.Reason, about, e.Message)
}

func (c *client) events(ctx context.Context, r *sslctlv1.ListEventsRequest) ([]*sslctlv1.Event, error) {
	m, err := call(ctx, c, "reading the events", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ListEventsResponse], error) {
		return e.cluster.ListEvents(ctx, connect.NewRequest(r))
	})
	return m.GetEvents(), err
}

// followEvents calls show with each event, at another coordinator when one is lost. It ends with the job that the request names.
func (c *client) followEvents(ctx context.Context, r *sslctlv1.WatchEventsRequest, show func(*sslctlv1.Event) error) error {
	return c.stream(ctx, "following the events", streamPatience, func(ctx context.Context, at endpoint) (heard bool, err error) {
		heard, _, err = receive(ctx, at.cluster.WatchEvents, r, func(m *sslctlv1.WatchEventsResponse) (bool, error) {
			if m.Event == nil {
				return false, nil // a sign of life
			}
			if err := show(m.Event); err != nil {
				return false, err
			}
			r.AfterId, r.Limit = m.Event.Id, 0 // what was shown is not asked for again
			return false, nil
		})
		return heard, err
	})
}
