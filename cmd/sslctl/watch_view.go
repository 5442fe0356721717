package main

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

// looks are the styles of the screen.
type looks struct {
	title, faint, bad, chosen lipgloss.Style
	ranks                     []lipgloss.Style // one after the other
}

func newLooks(r *lipgloss.Renderer) looks {
	l := looks{
		title: r.NewStyle().Bold(true), faint: r.NewStyle().Faint(true), bad: r.NewStyle().Foreground(lipgloss.Color("9")).Bold(true),
		chosen: r.NewStyle().Reverse(true),
	}
	for _, color := range []string{"12", "10", "11", "13", "14", "9", "6", "3"} {
		l.ranks = append(l.ranks, r.NewStyle().Foreground(lipgloss.Color(color)))
	}
	return l
}

const (
	// wideFrom is the width from which on there are two columns.
	wideFrom = 120
	// tallFrom is the height from which on one column has room for the data shards.
	tallFrom = 32
	// eventsLeast is how many lines of events stay on the screen, whatever else there is.
	eventsLeast = 4
)

// draw is the whole screen: exactly the model's height in lines, none wider than its width.
func (l looks) draw(m watchModel) string {
	footer := l.footer(m)
	inner := max(m.height-1-len(footer), 1)
	lines := append([]string{l.header(m)}, l.body(m, inner)...)
	lines = append(lines, footer...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return strings.Join(lines[:min(len(lines), max(m.height, 1))], "\n")
}

// body is what is between header and footer, in height lines: wide, the cluster beside the job and the events below both.
func (l looks) body(m watchModel, height int) []string {
	if m.width < wideFrom {
		job := l.job(m, m.width)
		if m.height < tallFrom && len(job) > 0 {
			job = job[:len(job)-1]
		}
		return stack(append(append([]block{l.jobs(m, m.width), l.workers(m, m.width)}, job...), l.events(m, m.width)), m.width, height)
	}
	left := m.width*9/20 - 1
	right := m.width - left - 3
	cluster, job, events := []block{l.jobs(m, left), l.workers(m, left)}, l.job(m, right), l.events(m, m.width)
	top := min(max(wanted(cluster), wanted(job)), height-min(events.want, 2*eventsLeast))
	a, b := stack(cluster, left, top), stack(job, right, top)
	var lines []string
	for i := range top {
		lines = append(lines, pad(a[i], left)+l.faint.Render(" │ ")+b[i])
	}
	return append(lines, stack([]block{events}, m.width, height-top)...)
}

func (l looks) header(m watchModel) string {
	c := m.seen.cluster
	up := 0
	for _, n := range c.Coordinators {
		if n.State != "silent" {
			up++
		}
	}
	return l.title.Render("sslctl") + fmt.Sprintf("  cluster %s  leader %s  coordinators %d/%d  %s", c.Cluster, c.LeaderId, up, len(c.Coordinators), m.seen.at.UTC().Format("15:04:05 UTC"))
}

// footer says what keys do, or why what is shown is old: all of it, since the reason comes last.
func (l looks) footer(m watchModel) []string {
	if m.err == nil {
		return []string{l.faint.Render("↑ ↓ choose a job   q quit")}
	}
	lines := wrap(fmt.Sprintf("not renewed since %s: %s", m.seen.at.UTC().Format("15:04:05"), m.err), m.width, 4)
	for i := range lines {
		lines[i] = l.bad.Render(lines[i])
	}
	return lines
}
