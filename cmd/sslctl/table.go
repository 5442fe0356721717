package main

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/charmbracelet/x/ansi"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// columns writes rows in aligned columns; the first is the heading.
func columns(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	_ = t.Flush() // errors of standard output show when the process ends
}

// reasonRoom is how much of a reason a table of jobs shows. -o wide, and status of the job, have the whole.
const reasonRoom = 80

// jobTable lists jobs.
func jobTable(w io.Writer, jobs []*sslctlv1.Job, wide bool) {
	head := []string{"NAME", "UID", "PRIORITY", "STATE", "STEP", "EPOCH", "SAMPLES/S", "LOSS"}
	if wide {
		head = append(head, "GENERATIONS", "WORKERS", "NUMERICS", "DIGEST")
	}
	rows := [][]string{append(head, "REASON")}
	for _, j := range jobs {
		reason := j.Reason
		if !wide {
			reason = ansi.Truncate(brief(reason), reasonRoom, "…")
		}
		row := []string{j.Name, j.Uid, fmt.Sprint(j.Priority), stateName(j.State), outOf(j.Step, j.StepsTotal), epochText(j), rateText(j.SamplesPerSecond), lossText(j)}
		if wide {
			row = append(row, fmt.Sprint(j.Generations), fmt.Sprint(len(j.Members)), j.Numerics, shortDigest(j.Digest))
		}
		rows = append(rows, append(row, reason))
	}
	columns(w, rows)
}

var (
	folders = regexp.MustCompile(`(^|[\s("])(?:[a-z0-9]+:/)?/[^\s"]*/`)
	speaker = regexp.MustCompile(`^worker [^\s:]+: `)
)

// brief is a reason without what is least needed to see what is wrong: which worker has told it, and the folders of paths and URIs.
func brief(reason string) string {
	return folders.ReplaceAllString(speaker.ReplaceAllString(reason, ""), "$1…/")
}

// jobDetail shows one job; wide adds who does what.
func jobDetail(w io.Writer, j *sslctlv1.Job, wide bool) {
	rows := [][]string{
		{"job", fmt.Sprintf("%s (uid %s)", j.Name, j.Uid)},
		{"state", stateName(j.State)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("reason", j.Reason)
	add("labels", pairsText(j.Labels))
	if j.Priority != 0 {
		add("priority", fmt.Sprint(j.Priority))
	}
	if j.WorkersMax > 0 {
		add("workers", workersText(j))
	}
	add("submitted", timeText(j.SubmittedUnixMs))
	add("started", timeText(j.StartedUnixMs))
	add("ended", timeText(j.EndedUnixMs))
	add("step", fmt.Sprintf("%s, %d committed, %d repeated, %d skipped", outOf(j.Step, j.StepsTotal), j.CommittedStep, j.StepsRepeated, j.StepsSkipped))
	add("epoch", epochText(j))
	if j.Step > 0 {
		add("samples", samplesOfJobText(j))
	}
	add("loss", lossText(j))
	if j.Generations > 0 {
		add("generation", fmt.Sprintf("%d, %d in all", j.Generation, j.Generations))
	}
	add("numerics", j.Numerics)
	if j.Digest != "" {
		add("digest", fmt.Sprintf("%s at step %d", j.Digest, j.DigestStep))
	}
	if n := len(j.Checkpoints); n > 0 {
		c := j.Checkpoints[n-1]
		add("checkpoint", fmt.Sprintf("%s (step %d, %s)", c.Uri, c.Step, bytesText(c.Bytes)))
	}
	add("exported", j.Exported)
	if n := len(j.Evaluations); n > 0 {
		add("warning", j.Evaluations[n-1].Warning)
	}
	for _, s := range j.CorruptSamples {
		add("corrupt", s)
	}
	columns(w, rows)
	evaluationTable(w, j)
	if !wide {
		return
	}
	if len(j.Members) > 0 {
		fmt.Fprintln(w)
		memberTable(w, j)
	}
	if len(j.Shards) > 0 {
		fmt.Fprintln(w)
		shardTable(w, j)
	}
	if len(j.Metrics) > 0 {
		fmt.Fprintln(w)
		metricTable(w, j)
	}
	if len(j.Ledger) > 0 {
		fmt.Fprintln(w)
		ledgerTable(w, j)
	}
}

// workersText says how many workers a job wants, and which: "2 to 4, with rack=4".
func workersText(j *sslctlv1.Job) string {
	text := fmt.Sprint(j.WorkersMax)
	if j.WorkersMin < j.WorkersMax {
		text = fmt.Sprintf("%d to %d", j.WorkersMin, j.WorkersMax)
	}
	if len(j.Selector) > 0 {
		text += ", with " + pairsText(j.Selector)
	}
	return text
}

func ledgerTable(w io.Writer, j *sslctlv1.Job) {
	rows := [][]string{{"STEPS", "GENERATION", "SKIPPED", "MEAN LOSS", "DIGEST"}}
	for _, l := range j.Ledger {
		rows = append(rows, []string{fmt.Sprintf("%d-%d", l.FirstStep+1, l.LastStep), fmt.Sprint(l.Generation), fmt.Sprint(l.Skipped),
			fmt.Sprintf("%.4f", l.MeanLoss), l.Digest})
	}
	columns(w, rows)
}

func memberTable(w io.Writer, j *sslctlv1.Job) {
	rows := [][]string{{"RANK", "WORKER", "PHASE", "VIRTUAL RANKS", "BANK SHARDS", "BANK", "SAMPLES", "RING SENT", "WAITS FOR"}}
	for _, m := range j.Members {
		owned := rangeText(m.VirtualRankLo, m.VirtualRankHi)
		shards := "none"
		if m.BankBytes > 0 {
			shards = owned
		}
		rows = append(rows, []string{fmt.Sprint(m.Rank), m.WorkerId, m.Phase, owned, shards, bytesText(m.BankBytes), fmt.Sprint(m.Samples),
			bytesText(m.RingBytesSent), m.Reason})
	}
	columns(w, rows)
}

func shardTable(w io.Writer, j *sslctlv1.Job) {
	rows := [][]string{{"DATA SHARD", "SAMPLES", "VIRTUAL RANK", "WORKER"}}
	for _, s := range j.Shards {
		owner := ""
		for _, m := range j.Members {
			if m.VirtualRankLo <= s.VirtualRank && s.VirtualRank < m.VirtualRankHi {
				owner = m.WorkerId
			}
		}
		slice := "none"
		if s.Samples > 0 {
			slice = fmt.Sprintf("%d-%d", s.FirstSample, s.FirstSample+s.Samples-1)
		}
		rows = append(rows, []string{s.Shard, slice, fmt.Sprint(s.VirtualRank), owner})
	}
	columns(w, rows)
}

func metricTable(w io.Writer, j *sslctlv1.Job) {
	rows := [][]string{{"METRIC", "VALUE"}}
	for _, name := range sortedKeys(j.Metrics) {
		rows = append(rows, []string{name, fmt.Sprintf("%.6g", j.Metrics[name])})
	}
	columns(w, rows)
}

// evaluationTable sets the newest measures beside the floors.
func evaluationTable(w io.Writer, j *sslctlv1.Job) {
	values := newestEvaluation(j)
	if len(values) == 0 {
		return
	}
	cell := func(name string) string {
		v, ok := values[name]
		if !ok || math.IsNaN(float64(v)) {
			return ""
		}
		return fmt.Sprintf("%.4f", float64(v))
	}
	rows := [][]string{{"EVALUATION", "TRAINED", "UNTRAINED", "RAW PIXELS"}}
	for _, name := range sortedKeys(values) {
		if !isFloor(name) {
			rows = append(rows, []string{name, cell(name), cell("untrained." + name), cell("rawPixel." + name)})
		}
	}
	fmt.Fprintln(w)
	columns(w, rows)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// counted is "1 worker", "2 workers".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func outOf(n, total uint64) string {
	if total == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d/%d", n, total)
}

func epochText(j *sslctlv1.Job) string { return fmt.Sprintf("%.2f/%g", j.Epoch, j.EpochsTotal) }

func lossText(j *sslctlv1.Job) string {
	if j.Step == 0 {
		return ""
	}
	return fmt.Sprintf("%.4f", j.Loss)
}

func rateText(perSecond float64) string {
	if perSecond == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// samplesOfJobText is how many samples a job has used, and how fast: now, or in the mean once it has ended.
func samplesOfJobText(j *sslctlv1.Job) string {
	text := fmt.Sprintf("%d, %.0f a second", j.Samples, j.SamplesPerSecond)
	if took := j.EndedUnixMs - j.StartedUnixMs; ended(j.State) && j.StartedUnixMs > 0 && took > 0 {
		text = fmt.Sprintf("%d, %.0f a second from start to end", j.Samples, float64(j.Samples)*1000/float64(took))
	}
	if j.SamplesUnused > 0 {
		text += fmt.Sprintf("; the last %d are too few for a batch", j.SamplesUnused)
	}
	return text
}

func rangeText(lo, hi uint32) string {
	switch {
	case hi <= lo:
		return "none"
	case hi == lo+1:
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d-%d", lo, hi-1)
}

func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n), ""
	for _, p := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if value < unit {
			break
		}
		value, prefix = value/unit, p
	}
	return fmt.Sprintf("%.1f %sB", value, prefix)
}

func pairsText(labels map[string]string) string {
	var texts []string
	for _, k := range sortedKeys(labels) {
		texts = append(texts, k+"="+labels[k])
	}
	return strings.Join(texts, ",")
}

func shortDigest(d string) string { return d[:min(len(d), 12)] }

// durationText is d to the second, without empty units.
func durationText(d time.Duration) string {
	d = d.Round(time.Second)
	if h := d / time.Hour; h > 0 {
		return fmt.Sprintf("%dh%02dm", h, d%time.Hour/time.Minute)
	}
	if m := d / time.Minute; m > 0 {
		return fmt.Sprintf("%dm%02ds", m, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
