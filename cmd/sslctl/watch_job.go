package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// job is what is shown of the chosen job.
func (l looks) job(m watchModel, width int) []block {
	j := m.seen.job
	if j == nil {
		return nil
	}
	return []block{l.progress(m, j, width), l.curves(m, j, width), l.members(j, width), l.shards(j, width)} // the last is the first to be left out
}

const (
	// reasonLines is how many lines of a reason are shown where there is room.
	reasonLines = 4
	// reasonFrom is the height from which on there is room for some of them, whatever else there is.
	reasonFrom = 20
)

func (l looks) progress(m watchModel, j *sslctlv1.Job, width int) block {
	var reason []string
	if j.Reason != "" {
		reason = wrap(j.Reason, width, reasonLines)
	}
	least := 3
	if m.height >= reasonFrom {
		least += min(len(reason), 2)
	}
	return block{
		least: least, want: 3 + len(reason),
		draw: func(int) []string {
			bar := max(10, min(40, width-50))
			done := 0.0
			if j.StepsTotal > 0 {
				done = float64(j.Step) / float64(j.StepsTotal)
			}
			filled := int(done * float64(bar))
			text := fmt.Sprintf("%s%s %3.0f %%  %s  epoch %.1f/%g", strings.Repeat("█", filled), strings.Repeat("░", bar-filled), 100*done, outOf(j.Step, j.StepsTotal), j.Epoch, j.EpochsTotal)
			return append([]string{l.title.Render(fmt.Sprintf("JOB %s (uid %s)", j.Name, j.Uid)), text, doing(j)}, reason...)
		},
	}
}

// doing is what a job does now.
func doing(j *sslctlv1.Job) string {
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
	return strings.Join(parts, "  ")
}

// knnCurve is the accuracy of nearest neighbours by step.
func knnCurve(j *sslctlv1.Job) curve {
	var c curve
	for _, e := range j.Evaluations {
		if v, ok := e.Values["knn.top1"]; ok {
			c = append(c, point{float64(e.Step), v})
		}
	}
	return c
}

func (l looks) curves(m watchModel, j *sslctlv1.Job, width int) block {
	half := (width - 3) / 2
	knn := knnCurve(j)
	want := 12
	if len(knn)+len(m.losses) == 0 {
		want = 2 // why there are none
	}
	return block{
		least: min(want, 4), want: want,
		draw: func(height int) []string {
			loss := l.curve(lossTitle(m.losses), m.losses.plot(half, height-1, func(v float64) string { return fmt.Sprintf("%.3f", v) }), withoutLoss(j), height)
			accuracy := l.curve(knnTitle(knn, newestEvaluation(j), half), knn.plot(half, height-1, func(v float64) string { return fmt.Sprintf("%.1f", 100*v) }), withoutKNN(j), height)
			for i := range loss {
				loss[i] = pad(loss[i], half) + "   " + accuracy[i]
			}
			return loss
		},
	}
}

// curve is a title above a plot, or above why there is none, in height lines.
func (l looks) curve(title string, plot []string, without string, height int) []string {
	lines := make([]string, height)
	lines[0] = l.title.Render(title)
	if plot == nil {
		plot = []string{without}
	}
	copy(lines[1:], plot)
	return lines
}

func lossTitle(c curve) string {
	switch len(c) {
	case 0:
		return "LOSS"
	case 1:
		return fmt.Sprintf("LOSS %.4f", c[0].y)
	}
	return fmt.Sprintf("LOSS %.4f → %.4f", c[0].y, c[len(c)-1].y)
}

// knnTitle is the first and the last accuracy, and as many of the floors as fit.
func knnTitle(c curve, values map[string]number, width int) string {
	text := "KNN %"
	switch n := len(c); {
	case n == 1:
		text = fmt.Sprintf("KNN %.1f %%", 100*c[0].y)
	case n > 1:
		text = fmt.Sprintf("KNN %.1f → %.1f %%", 100*c[0].y, 100*c[n-1].y)
	}
	for _, floor := range []struct{ name, label string }{{"untrained.knn.top1", "untrained"}, {"rawPixel.knn.top1", "raw pixels"}} {
		v, ok := values[floor.name]
		if more := fmt.Sprintf(", %s %.1f", floor.label, 100*float64(v)); ok && ansi.StringWidth(text+more) <= width {
			text += more
		}
	}
	return text
}

// withoutLoss is why there is no curve of the loss.
func withoutLoss(j *sslctlv1.Job) string {
	if ended(j.State) && j.Step == 0 {
		return "no step was done"
	}
	return "no values yet"
}

// withoutKNN is why there is no curve of the accuracy.
func withoutKNN(j *sslctlv1.Job) string {
	if spec, err := jobspec.Parse(j.SpecYaml, nil); err == nil && spec.Spec.Evaluate == nil {
		return "not measured (no evaluate in the job)"
	}
	if ended(j.State) || len(j.Evaluations) > 0 {
		return "not measured"
	}
	return "no values yet"
}

// rank draws text in the colour of a rank.
func (l looks) rank(rank int, text string) string { return l.ranks[rank%len(l.ranks)].Render(text) }

// mark is a rank in one cell.
func mark(rank int) string {
	return string("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[rank%64])
}

// members shows who owns which virtual ranks, and with them shards of the bank: the rank of each in a line, and then the ranks.
func (l looks) members(j *sslctlv1.Job, width int) block {
	rows := [][]string{{"  RANK", "WORKER", "VIRTUAL RANKS", "BANK", "SAMPLES", "RING SENT", "PHASE"}}
	var owners strings.Builder
	title := "VIRTUAL RANKS"
	for _, x := range j.Members {
		r := int(x.Rank)
		rows = append(rows, []string{"  " + l.rank(r, mark(r)), x.WorkerId, rangeText(x.VirtualRankLo, x.VirtualRankHi), bytesText(x.BankBytes), fmt.Sprint(x.Samples), bytesText(x.RingBytesSent), x.Phase})
		owners.WriteString(l.rank(r, strings.Repeat(mark(r), int(x.VirtualRankHi-x.VirtualRankLo))))
		if x.BankBytes > 0 {
			title = "VIRTUAL RANKS AND BANK SHARDS"
		}
	}
	want := 0
	if len(j.Members) > 0 {
		want = 1 + len(rows)
	}
	return block{
		least: 1, want: min(want, 14),
		draw: func(height int) []string {
			lines := grid(rows, width, giveWay{1, narrowest})
			lines[0] = l.faint.Render(lines[0])
			lines = append([]string{l.title.Render(title) + l.faint.Render(", rank of each: ") + owners.String()}, lines...)
			if height < 3 { // a heading alone says nothing
				return lines[:1]
			}
			return l.some(lines, height)
		},
	}
}

// shards shows who reads which part of each data shard in this epoch.
func (l looks) shards(j *sslctlv1.Job, width int) block {
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
	want := 0
	if len(strips) > 0 {
		want = 1 + len(strips)
	}
	return block{
		least: min(len(strips)+1, 3), want: min(want, 17),
		draw: func(height int) []string {
			name := 0
			for _, s := range strips {
				name = max(name, ansi.StringWidth(s.name))
			}
			name = min(name, width/3)
			cells := max(8, min(64, width-name-14))
			lines := []string{l.title.Render("DATA SHARDS OF THIS EPOCH") + l.faint.Render(", rank of each part, samples")}
			for _, s := range strips {
				lines = append(lines, "  "+pad(s.name, name)+"  "+l.strip(s.parts, s.total, cells, owner)+fmt.Sprintf("  %d", s.total))
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
