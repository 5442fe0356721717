package coordinator

import (
	"fmt"

	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/telemetry"
)

// readMetrics reports what is read when Prometheus asks.
func (n *Node) readMetrics(report telemetry.Report) {
	gauge := func(d telemetry.Definition, value uint64) { report(d, float64(value)) }
	t := n.term.Load()
	gauge(telemetry.CoordinatorReady, oneIf(n.leader() != "" && n.Err() == nil))
	gauge(telemetry.RaftLeader, oneIf(t != nil))
	gauge(telemetry.RaftPeers, uint64(membersOf(n.raft).voters()))
	gauge(telemetry.RaftTerm, n.raft.CurrentTerm())
	gauge(telemetry.RaftLastIndex, n.raft.LastIndex())
	gauge(telemetry.RaftCommitIndex, n.raft.CommitIndex())
	gauge(telemetry.RaftAppliedIndex, n.raft.AppliedIndex())
	if entries, err := n.disk.entries(); err == nil { // else the node is closing
		gauge(telemetry.RaftLogEntries, entries)
	}
	if t != nil {
		n.readLeaderMetrics(t, report)
	}
}

// countedJobs and countedWorkers are shown even when they count nothing, so that a graph does not break off.
var (
	countedJobs = []state.JobState{
		state.Waiting, state.Starting, state.Running, state.Pausing, state.Paused, state.Completed, state.Failed, state.Cancelled,
	}
	countedWorkers = []string{"free", "busy", "cordoned", "draining", "drained", "leaving", "lost", "away"}
)

func (n *Node) readLeaderMetrics(t *term, report telemetry.Report) {
	s := n.fsm.state.Load()
	jobs := map[string]int{}
	for _, known := range countedJobs {
		jobs[string(known)] = 0
	}
	for _, j := range s.Jobs {
		jobs[string(j.State)]++
		if !j.State.Ended() {
			readJob(j, report)
		}
	}
	for name, count := range jobs {
		report(telemetry.Jobs, float64(count), name)
	}
	workers := map[string]int{}
	for _, known := range countedWorkers {
		workers[known] = 0
	}
	for _, w := range n.workers(t, s) {
		workers[w.State]++
	}
	for name, count := range workers {
		report(telemetry.Workers, float64(count), name)
	}
	report(telemetry.RaftSilentPeers, float64(n.silent.count()))
}

// readJob reports on a job that has not ended.
func readJob(j *state.Job, report telemetry.Report) {
	uid := fmt.Sprint(j.UID)
	gauge := func(d telemetry.Definition, value uint64) { report(d, float64(value), uid, j.Name) }
	gauge(telemetry.JobCommittedStep, j.Committed())
	planned, members := uint64(0), 0
	if j.Plan != nil {
		planned = j.Plan.StepsTotal
	}
	if j.State.Active() {
		members = len(j.Members)
	}
	gauge(telemetry.JobPlannedSteps, planned)
	gauge(telemetry.JobGenerations, j.Generations())
	gauge(telemetry.JobRepeatedSteps, j.Repeated)
	gauge(telemetry.JobMembers, uint64(members))
	gauge(telemetry.JobCorruptSamples, uint64(len(j.Corrupt)))
}

func oneIf(condition bool) uint64 {
	if condition {
		return 1
	}
	return 0
}
