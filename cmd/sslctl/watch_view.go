package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
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

// block is a part of the screen: a title and lines of which it wants to show all, and needs to show some.
type block struct {
	title string
	least int // lines
	draw  func(width, height int) []string
	want  int // lines
}

const (
	// wideFrom is the width from which on there are two columns.
	wideFrom = 120
	// tallFrom is the height from which on one column has room for the data shards.
	tallFrom = 32
)

// draw is the whole screen: exactly the model's height in lines, none wider than its width.
func (l looks) draw(m watchModel) string {
	var body []string
	inner := max(m.height-2, 1)
	cluster := []block{l.jobs(m), l.workers(m)}
	job := l.job(m)
	if m.width >= wideFrom {
		left := m.width*9/20 - 1
		a, b := stack(append(cluster, l.events(m)), left, inner), stack(job, m.width-left-3, inner)
		for i := range inner {
			body = append(body, pad(a[i], left)+l.faint.Render(" │ ")+b[i])
		}
	} else {
		if m.height < tallFrom && len(job) > 0 {
			job = job[:len(job)-1]
		}
		body = stack(append(append(cluster, job...), l.events(m)), m.width, inner)
	}
	lines := append([]string{l.header(m)}, append(body, l.footer(m))...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return strings.Join(lines, "\n")
}

// stack draws blocks above each other in height lines: each gets what it needs, then in order what it wants.
func stack(blocks []block, width, height int) []string {
	given := make([]int, len(blocks))
	left := height
	for i, b := range blocks {
		switch {
		case b.want == 0:
			given[i] = -1 // nothing to show
		case left > b.least:
			given[i] = min(b.least, b.want)
			left -= given[i] + 1 // and the title
		default:
			given[i] = -1 // no room
		}
	}
	for i, b := range blocks {
		if more := min(b.want-given[i], left); given[i] >= 0 && more > 0 {
			given[i] += more
			left -= more
		}
	}
	var lines []string
	for i, b := range blocks {
		if given[i] < 0 {
			continue
		}
		lines = append(lines, b.title)
		drawn := b.draw(width, given[i])
		for k := range given[i] {
			line := ""
			if k < len(drawn) {
				line = drawn[k]
			}
			lines = append(lines, ansi.Truncate(line, width, "…"))
		}
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines[:height]
}

func pad(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", width-ansi.StringWidth(s))
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

// footer says what keys do, or why what is shown is old.
func (l looks) footer(m watchModel) string {
	if m.err != nil {
		return l.bad.Render(fmt.Sprintf("not renewed since %s: %s", m.seen.at.UTC().Format("15:04:05"), m.err))
	}
	return l.faint.Render("↑ ↓ choose a job   q quit")
}

// narrowest is how far a column of a grid gives way.
const narrowest = 8

// grid aligns cells in columns that are as wide as their widest cell. Where the line would not fit, the columns named give way, in this order.
func grid(rows [][]string, width int, shrink ...int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	const gap = 2
	total := gap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for _, i := range shrink {
		if over := total - width; over > 0 && widths[i] > narrowest {
			now := max(narrowest, widths[i]-over)
			total -= widths[i] - now
			widths[i] = now
		}
	}
	lines := make([]string, len(rows))
	for k, row := range rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(pad(c, widths[i]))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", gap))
			}
		}
		lines[k] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// some shows as many lines as fit, the first a heading, and how many are left out.
func (l looks) some(lines []string, height int) []string {
	if len(lines) <= height || height < 2 {
		return lines
	}
	out := append([]string{}, lines[:height-1]...)
	return append(out, l.faint.Render(fmt.Sprintf("… %d more", len(lines)-height+1)))
}

func (l looks) jobs(m watchModel) block {
	rows := [][]string{{"  NAME", "STATE", "STEP", "EPOCH", "SAMPLES/S", "LOSS", "WHY"}}
	for _, j := range m.seen.jobs {
		sign := "  "
		if m.seen.job != nil && j.Uid == m.seen.job.Uid {
			sign = "> " // also where there is no colour
		}
		rows = append(rows, []string{sign + j.Name, stateName(j.State), outOf(j.Step, j.StepsTotal), fmt.Sprintf("%.1f/%g", j.Epoch, j.EpochsTotal), rateText(j.SamplesPerSecond), lossText(j), j.Reason})
	}
	return block{
		title: l.title.Render(fmt.Sprintf("JOBS %d", len(m.seen.jobs))), least: min(len(rows), 4), want: min(len(rows), 12),
		draw: func(width, height int) []string {
			lines := grid(rows, width, 6, 0)
			lines[0] = l.faint.Render(lines[0])
			for i, j := range m.seen.jobs {
				if m.seen.job != nil && j.Uid == m.seen.job.Uid {
					lines[i+1] = l.chosen.Render(pad(lines[i+1], width))
					if len(lines) > height && i+1 >= height-1 { // it must be on the screen
						lines[1], lines[i+1] = lines[i+1], lines[1]
					}
				}
			}
			return l.some(lines, height)
		},
	}
}

func (l looks) workers(m watchModel) block {
	names := map[string]string{}
	for _, j := range m.seen.jobs {
		names[j.Uid] = j.Name
	}
	rows := [][]string{{"WORKER", "STATE", "JOB", "CORES", "HOST", "SEEN"}}
	for _, w := range m.seen.cluster.Workers {
		rows = append(rows, []string{w.Id, w.State, cmp.Or(names[w.JobUid], w.JobUid), fmt.Sprint(w.Cores), w.Host, agoText(w.LastSeenMsAgo)})
	}
	return block{
		title: l.title.Render(fmt.Sprintf("WORKERS %d", len(m.seen.cluster.Workers))), least: min(len(rows), 4), want: min(len(rows), 16),
		draw: func(width, height int) []string {
			lines := grid(rows, width, 4, 2, 0)
			lines[0] = l.faint.Render(lines[0])
			for i, w := range m.seen.cluster.Workers {
				if w.State == "lost" {
					lines[i+1] = l.bad.Render(lines[i+1])
				}
			}
			return l.some(lines, height)
		},
	}
}

// job is what is shown of the chosen job.
func (l looks) job(m watchModel) []block {
	j := m.seen.job
	if j == nil {
		return nil
	}
	return []block{l.progress(j), l.curves(m, j), l.members(j), l.shards(j)} // the last is the first to be left out
}

func (l looks) progress(j *sslctlv1.Job) block {
	return block{
		title: l.title.Render(fmt.Sprintf("JOB %s (uid %s)", j.Name, j.Uid)), least: 2, want: 2,
		draw: func(width, _ int) []string {
			bar := max(10, min(40, width-50))
			done := 0.0
			if j.StepsTotal > 0 {
				done = float64(j.Step) / float64(j.StepsTotal)
			}
			filled := int(done * float64(bar))
			text := fmt.Sprintf("%s%s %3.0f %%  %s  epoch %.1f/%g", strings.Repeat("█", filled), strings.Repeat("░", bar-filled), 100*done, outOf(j.Step, j.StepsTotal), j.Epoch, j.EpochsTotal)
			return []string{text, l.doing(j)}
		},
	}
}

// doing is what a job does now, or why it does not.
func (l looks) doing(j *sslctlv1.Job) string {
	parts := []string{stateName(j.State)}
	if j.State == sslctlv1.JobState_JOB_STATE_RUNNING {
		if j.SamplesPerSecond > 0 {
			left := (j.EpochsTotal - j.Epoch) * float64(j.SamplesPerEpoch) / j.SamplesPerSecond
			parts = append(parts, rateText(j.SamplesPerSecond)+" samples/s", durationText(time.Duration(left*float64(time.Second)))+" left")
		}
		if doing := activity(j); doing != "" {
			parts = append(parts, doing)
		}
	}
	parts = append(parts, fmt.Sprintf("generation %d", j.Generations))
	if j.StepsRepeated > 0 {
		parts = append(parts, fmt.Sprintf("%d steps repeated", j.StepsRepeated))
	}
	if j.Reason != "" {
		parts = append(parts, j.Reason)
	}
	return strings.Join(parts, "  ")
}

func (l looks) curves(m watchModel, j *sslctlv1.Job) block {
	var knn curve
	for _, e := range j.Evaluations {
		if v, ok := e.Values["knn.top1"]; ok {
			knn = append(knn, point{float64(e.Step), v})
		}
	}
	return block{
		title: l.title.Render("CURVES"), least: 4, want: 12,
		draw: func(width, height int) []string {
			half := (width - 3) / 2
			a := append([]string{l.faint.Render("loss" + endsText(m.losses, "%.4f"))}, m.losses.plot(half, height-1, "%.3f")...)
			b := append([]string{l.faint.Render("kNN top-1" + endsText(knn, "%.4f") + floorText(j))}, knn.plot(half, height-1, "%.3f")...)
			lines := make([]string, height)
			for i := range lines {
				lines[i] = pad(a[i], half) + "   " + b[i]
			}
			return lines
		},
	}
}

// endsText is a curve's first and last value.
func endsText(c curve, format string) string {
	if len(c) == 0 {
		return ""
	}
	return fmt.Sprintf(" "+format+" → "+format, c[0].y, c[len(c)-1].y)
}

func floorText(j *sslctlv1.Job) string {
	values := newestEvaluation(j)
	text := ""
	for _, floor := range []struct{ name, label string }{{"untrained.knn.top1", "untrained"}, {"rawPixel.knn.top1", "raw pixels"}} {
		if v, ok := values[floor.name]; ok {
			text += fmt.Sprintf(", %s %.4f", floor.label, float64(v))
		}
	}
	return text
}

// rank draws text in the colour of a rank.
func (l looks) rank(rank int, text string) string { return l.ranks[rank%len(l.ranks)].Render(text) }

// mark is a rank in one cell.
func mark(rank int) string {
	return string("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[rank%64])
}

// members shows who owns which virtual ranks, and with them shards of the bank.
func (l looks) members(j *sslctlv1.Job) block {
	rows := [][]string{{"RANK", "WORKER", "VIRTUAL RANKS", "BANK", "SAMPLES", "RING SENT", "PHASE"}}
	var owners strings.Builder
	for _, x := range j.Members {
		r := int(x.Rank)
		rows = append(rows, []string{l.rank(r, mark(r)), x.WorkerId, rangeText(x.VirtualRankLo, x.VirtualRankHi), bytesText(x.BankBytes), fmt.Sprint(x.Samples), bytesText(x.RingBytesSent), x.Phase})
		owners.WriteString(l.rank(r, strings.Repeat(mark(r), int(x.VirtualRankHi-x.VirtualRankLo))))
	}
	want := 0
	if len(j.Members) > 0 {
		want = len(rows)
	}
	return block{
		title: l.title.Render("VIRTUAL RANKS AND BANK SHARDS") + " " + owners.String(), least: 0, want: min(want, 12),
		draw: func(width, height int) []string {
			lines := grid(rows, width, 1)
			lines[0] = l.faint.Render(lines[0])
			return l.some(lines, height)
		},
	}
}

// shards shows who reads which part of each data shard in this epoch.
func (l looks) shards(j *sslctlv1.Job) block {
	owner := func(virtualRank uint32) int {
		for _, x := range j.Members {
			if x.VirtualRankLo <= virtualRank && virtualRank < x.VirtualRankHi {
				return int(x.Rank)
			}
		}
		return 0
	}
	type strip struct {
		name  string
		parts []*sslctlv1.ShardAssignment
		total uint64
	}
	var strips []*strip
	known := map[string]*strip{}
	for _, s := range j.Shards {
		at := known[s.Shard]
		if at == nil {
			at = &strip{name: path.Base(s.Shard)}
			known[s.Shard] = at
			strips = append(strips, at)
		}
		at.parts = append(at.parts, s)
		at.total += s.Samples
	}
	slices.SortFunc(strips, func(a, b *strip) int { return cmp.Compare(a.name, b.name) })
	return block{
		title: l.title.Render("DATA SHARDS OF THIS EPOCH") + l.faint.Render(" by rank"), least: min(len(strips), 2), want: min(len(strips), 16),
		draw: func(width, height int) []string {
			name := 0
			for _, s := range strips {
				name = max(name, ansi.StringWidth(s.name))
			}
			name = min(name, width/3)
			cells := max(8, min(64, width-name-12))
			var lines []string
			for _, s := range strips {
				lines = append(lines, pad(s.name, name)+"  "+l.strip(s.parts, s.total, cells, owner)+fmt.Sprintf("  %d", s.total))
			}
			return l.some(lines, height)
		},
	}
}

// strip is a data shard in cells, each marked with the rank that reads the sample in its middle.
func (l looks) strip(parts []*sslctlv1.ShardAssignment, total uint64, cells int, owner func(uint32) int) string {
	var b strings.Builder
	for i := range cells {
		at := (2*uint64(i) + 1) * total / uint64(2*cells)
		cell := " "
		for _, s := range parts {
			if s.FirstSample <= at && at < s.FirstSample+s.Samples {
				r := owner(s.VirtualRank)
				cell = l.rank(r, mark(r))
			}
		}
		b.WriteString(cell)
	}
	return b.String()
}

func (l looks) events(m watchModel) block {
	return block{
		title: l.title.Render("EVENTS"), least: min(len(m.seen.events), 3), want: len(m.seen.events),
		draw: func(width, height int) []string {
			var rows [][]string
			for i := len(m.seen.events) - 1; i >= 0 && len(rows) < height; i-- { // the newest first
				e := m.seen.events[i]
				rows = append(rows, []string{time.UnixMilli(e.UnixMs).UTC().Format("15:04:05"), cmp.Or(e.JobName, e.WorkerId), e.Message})
			}
			if len(rows) == 0 {
				return nil
			}
			lines := grid(rows, width, 2, 1)
			for i := range lines {
				if m.seen.events[len(m.seen.events)-1-i].Warning {
					lines[i] = l.bad.Render(lines[i])
				}
			}
			return lines
		},
	}
}
