package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

const (
	// epochFrom and stepFrom are the widths from which on the list of jobs has room for their epochs and steps.
	epochFrom, stepFrom = 92, 60
	// nameMost is how much of a name a table keeps while another column can give way.
	nameMost = 18
)

// jobs lists the jobs. Those that workers are at stay in view, the others scroll with the cursor.
func (l looks) jobs(m watchModel, width int) block {
	rows := [][]string{{fmt.Sprintf("JOBS %d", len(m.seen.jobs)), "STATE", "STEP", "EPOCH", "LOSS AND RATE, OR WHY"}}
	for i, j := range m.seen.jobs {
		sign := "  "
		if i == m.cursor() {
			sign = "> " // also where there is no colour
		}
		rows = append(rows, []string{sign + j.Name, stateName(j.State), outOf(j.Step, j.StepsTotal), fmt.Sprintf("%.1f/%g", j.Epoch, j.EpochsTotal), standing(j)})
	}
	for i, row := range rows {
		if width < epochFrom {
			row = slices.Delete(row, 3, 4)
		}
		if width < stepFrom {
			row = slices.Delete(row, 2, 3)
		}
		rows[i] = row
	}
	last, most := len(rows[0])-1, 13
	if width < m.width { // nothing else needs the lines below
		most = max(most, m.height/2)
	}
	return block{
		least: min(len(rows), 5), want: min(len(rows), most),
		draw: func(height int) []string {
			lines := grid(rows, width, giveWay{0, nameMost}, giveWay{last, narrowest}, giveWay{0, narrowest})
			shown := []string{l.title.Render(lines[0])}
			indices := window(m.seen.jobs, m.cursor(), height-1)
			for _, i := range indices {
				line := lines[i+1]
				if i == m.cursor() {
					line = l.chosen.Render(pad(line, width))
				}
				shown = append(shown, line)
			}
			if hidden := hiddenText(m.seen.jobs, indices); hidden != "" {
				shown = append(shown, l.faint.Render(hidden))
			}
			return shown
		},
	}
}

// standing is how a job does, or why it does not.
func standing(j *sslctlv1.Job) string {
	switch {
	case j.State == sslctlv1.JobState_JOB_STATE_FAILED:
		return causeFirst(j.Reason)
	case j.Reason != "":
		return brief(j.Reason)
	}
	var parts []string
	if loss := lossText(j); loss != "" {
		parts = append(parts, "loss "+loss)
	}
	if j.State == sslctlv1.JobState_JOB_STATE_RUNNING && j.SamplesPerSecond > 0 {
		parts = append(parts, rateText(j.SamplesPerSecond)+"/s")
	}
	if knn := knnCurve(j); j.State == sslctlv1.JobState_JOB_STATE_COMPLETED && len(knn) > 0 {
		parts = append(parts, "kNN "+percentText(knn[len(knn)-1].y))
	}
	return strings.Join(parts, "  ")
}

// causeFirst turns the chain of an error around, as far as it matters: what went wrong comes before what was being done, advice is left out.
func causeFirst(reason string) string {
	chain, _, _ := strings.Cut(brief(reason), "; ")
	if i := strings.LastIndex(chain, ": "); i >= 0 {
		return chain[i+2:] + " (" + chain[:i] + ")"
	}
	return chain
}

// window chooses the jobs to show in so many lines, by their indices: all, or those that workers are at (in at most half of the lines) and then
// those around the cursor, with a line left for how many are hidden.
func window(jobs []*sslctlv1.Job, cursor, lines int) []int {
	n := len(jobs)
	if n <= lines {
		return sequence(0, n)
	}
	room := max(lines-1, 1)
	pinned := 0
	for pinned < (room+1)/2 && pinned < n && active(jobs[pinned].State) {
		pinned++
	}
	rest := room - pinned
	start := min(max(pinned, cursor-rest/2), n-rest)
	if cursor < pinned {
		start = pinned
	}
	return append(sequence(0, pinned), sequence(start, start+rest)...)
}

func sequence(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// hiddenText counts the jobs that are not shown by their states: "… 9 more: 2 waiting, 7 completed".
func hiddenText(jobs []*sslctlv1.Job, shown []int) string {
	counts := map[sslctlv1.JobState]int{}
	for i, j := range jobs {
		if !slices.Contains(shown, i) {
			counts[j.State]++
		}
	}
	var parts []string
	for state := range int32(len(sslctlv1.JobState_name)) {
		if n := counts[sslctlv1.JobState(state)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, stateName(sslctlv1.JobState(state))))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("… %d more: %s", len(jobs)-len(shown), strings.Join(parts, ", "))
}

func (l looks) workers(m watchModel, width int) block {
	names := map[string]string{}
	for _, j := range m.seen.jobs {
		names[j.Uid] = j.Name
	}
	rows := [][]string{{fmt.Sprintf("WORKERS %d", len(m.seen.cluster.Workers)), "STATE", "JOB", "CORES", "HOST", "SEEN"}}
	for _, w := range m.seen.cluster.Workers {
		rows = append(rows, []string{"  " + w.Id, workerState(w), cmp.Or(names[w.JobUid], w.JobUid), fmt.Sprint(w.Cores), w.Host, agoText(w.LastSeenMsAgo)})
	}
	return block{
		least: min(len(rows), 4), want: min(len(rows), 17),
		draw: func(height int) []string {
			lines := grid(rows, width, giveWay{2, nameMost}, giveWay{4, narrowest}, giveWay{2, narrowest}, giveWay{0, narrowest})
			lines[0] = l.title.Render(lines[0])
			for i, w := range m.seen.cluster.Workers {
				if w.State == "lost" {
					lines[i+1] = l.bad.Render(lines[i+1])
				}
			}
			return l.some(lines, height)
		},
	}
}

// events are what has happened, the newest first.
func (l looks) events(m watchModel, width int) block {
	events := m.seen.events
	return block{
		least: min(len(events)+1, eventsLeast), want: len(events) + 1,
		draw: func(height int) []string {
			lines := []string{l.title.Render("EVENTS")}
			var rows [][]string
			for i := len(events) - 1; i >= 0 && len(rows) < height-1; i-- {
				rows = append(rows, eventRow(events[i], width))
			}
			if len(rows) == 0 {
				return lines
			}
			for i, line := range grid(rows, width, giveWay{1, nameMost - 2}, giveWay{2, narrowest}, giveWay{1, narrowest}) {
				if events[len(events)-1-i].Warning {
					line = l.bad.Render(line)
				}
				lines = append(lines, line)
			}
			return lines
		},
	}
}

// eventRow is an event in a line of the width. A message that is too long for it goes without folders; warnings are marked also where there is no
// colour.
func eventRow(e *sslctlv1.Event, width int) []string {
	about, message := cmp.Or(e.JobName, e.WorkerId), e.Message
	if e.Warning {
		message = "! " + message
	}
	if ansi.StringWidth(message) > width-len("15:04:05")-min(ansi.StringWidth(about), nameMost-2)-4 {
		message = brief(message)
	}
	return []string{"  " + time.UnixMilli(e.UnixMs).UTC().Format("15:04:05"), about, message}
}
