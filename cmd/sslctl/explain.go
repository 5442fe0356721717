package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// explainReport is an explanation as -o json and -o yaml show it.
type explainReport struct {
	Job     string          `json:"job"`
	UID     string          `json:"uid"`
	State   string          `json:"state"`
	Since   string          `json:"since"`
	Reason  string          `json:"reason"`
	Needs   string          `json:"needs"`
	Workers []verdictReport `json:"workers"`
	Next    []string        `json:"next"`
	Events  []eventReport   `json:"events"`
}

type verdictReport struct {
	Worker    string `json:"worker"`
	TakesPart bool   `json:"takesPart"`
	Can       bool   `json:"can"`
	Why       string `json:"why"`
}

func newExplainCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "explain JOB",
		Short: "Tell why a job is as it is, what each worker is to it, and what comes next",
		Args:  arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExplain(cmd.Context(), g, args[0])
		},
	}
}

func runExplain(ctx context.Context, g *globals, name string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	e, err := c.explain(ctx, name)
	if err != nil {
		return err
	}
	return g.print(reportExplanation(e), func(w io.Writer, _ bool) { explanation(w, e, time.Now()) })
}

func reportExplanation(e *sslctlv1.ExplainResponse) explainReport {
	j := e.Job
	r := explainReport{
		Job: j.Name, UID: j.Uid, State: stateName(j.State), Since: timeText(j.SinceUnixMs), Reason: j.Reason, Needs: e.Needs,
		Workers: []verdictReport{}, Next: e.Next, Events: []eventReport{},
	}
	for _, v := range e.Workers {
		r.Workers = append(r.Workers, verdictReport{v.WorkerId, v.TakesPart, v.Can, v.Why})
	}
	for _, x := range e.Events {
		r.Events = append(r.Events, reportEvent(x))
	}
	return r
}

// explanation writes e for people.
func explanation(w io.Writer, e *sslctlv1.ExplainResponse, now time.Time) {
	j := e.Job
	rows := [][]string{
		{"job", fmt.Sprintf("%s (uid %s, priority %d)", j.Name, j.Uid, j.Priority)},
		{"state", fmt.Sprintf("%s, since %s (%s)", stateName(j.State), timeText(j.SinceUnixMs), agoText(max(0, now.UnixMilli()-j.SinceUnixMs)))},
	}
	if j.Reason != "" {
		rows = append(rows, []string{"reason", j.Reason})
	}
	rows = append(rows, []string{"needs", e.Needs})
	for i, next := range e.Next {
		name := "next"
		if i > 0 {
			name = " "
		}
		rows = append(rows, []string{name, next})
	}
	columns(w, rows)
	if len(e.Workers) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"WORKER", "CAN TAKE IT", "WHY"}}
		for _, v := range e.Workers {
			can := "no"
			if v.TakesPart {
				can = "has it"
			} else if v.Can {
				can = "yes"
			}
			rows = append(rows, []string{v.WorkerId, can, v.Why})
		}
		columns(w, rows)
	}
	if len(e.Events) > 0 {
		fmt.Fprintln(w)
		eventTable(w, e.Events)
	}
}

func (c *client) explain(ctx context.Context, job string) (*sslctlv1.ExplainResponse, error) {
	return call(ctx, c, "explaining job "+job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ExplainResponse], error) {
		return e.jobs.Explain(ctx, connect.NewRequest(&sslctlv1.ExplainRequest{Job: job}))
	})
}
