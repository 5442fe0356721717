package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// What every coordinator shows. Those that are exported are read when Prometheus asks.
var (
	CoordinatorReady = Definition{
		Name: "sslctl_coordinator_ready", Kind: Gauge, Process: coordinators,
		Help: "1 while requests can be answered here, as /readyz says: the coordinator knows a leader.",
	}
	RaftLeader = Definition{
		Name: "sslctl_raft_leader", Kind: Gauge, Process: coordinators,
		Help: "1 on the coordinator that leads and has caught up, else 0.",
	}
	RaftPeers = Definition{
		Name: "sslctl_raft_peers", Kind: Gauge, Process: coordinators,
		Help: "Coordinators of the group that vote, as this one knows it.",
	}
	RaftTerm = Definition{
		Name: "sslctl_raft_term", Kind: Gauge, Process: coordinators,
		Help: "Raft's term: it grows with every election.",
	}
	RaftLastIndex = Definition{
		Name: "sslctl_raft_last_index", Kind: Gauge, Process: coordinators,
		Help: "Newest entry of this coordinator's log.",
	}
	RaftCommitIndex = Definition{
		Name: "sslctl_raft_commit_index", Kind: Gauge, Process: coordinators,
		Help: "Newest entry that a majority is known to hold.",
	}
	RaftAppliedIndex = Definition{
		Name: "sslctl_raft_applied_index", Kind: Gauge, Process: coordinators,
		Help: "Newest entry that this coordinator has applied.",
	}
	RaftLogEntries = Definition{
		Name: "sslctl_raft_log_entries", Kind: Gauge, Process: coordinators,
		Help: "Entries of the log on disk. Snapshots take entries out of it.",
	}
	raftCommitSeconds = Definition{
		Name: "sslctl_raft_commit_seconds", Kind: Histogram, Unit: "seconds", Process: coordinators,
		Help:    "Time for a majority to hold a command and this leader to apply it.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	}
	apiRequestSeconds = Definition{
		Name: "sslctl_api_request_seconds", Kind: Histogram, Unit: "seconds", Labels: []string{"method", "code"}, Process: coordinators,
		Help:    "Time of the API's requests that were answered here, by method (Service/Method) and code (ok or an error code of Connect). Streams count when they end, at each coordinator that they pass.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	}
	apiForwarded = Definition{
		Name: "sslctl_api_forwarded_total", Kind: Counter, Labels: []string{"result"}, Process: coordinators,
		Help: "Requests that came here and are the leader's, by result: passed_on, or no_leader.",
	}
	coordinatorHeartbeats = Definition{
		Name: "sslctl_coordinator_heartbeats_total", Kind: Counter, Labels: []string{"result"}, Process: coordinators,
		Help: "Heartbeats of workers that were heard here, by result: current, stale (about a generation that is over), unknown (the worker has to register) or refused.",
	}
	plannerSeconds = Definition{
		Name: "sslctl_planner_seconds", Kind: Histogram, Unit: "seconds", Process: coordinators,
		Help:    "Time of the planner to decide what comes next, commits not included.",
		Buckets: prometheus.ExponentialBuckets(0.00001, 4, 10),
	}
	plannerCommands = Definition{
		Name: "sslctl_planner_commands_total", Kind: Counter, Process: coordinators,
		Help: "Decisions of the planner that were handed in to be committed.",
	}
	coordinatorEvents = Definition{
		Name: "sslctl_coordinator_events_total", Kind: Counter, Labels: []string{"reason"}, Process: coordinators,
		Help: "Events that this coordinator has applied since it started, by reason (the word that sslctl events shows).",
	}
	coordinatorLostLines = Definition{
		Name: "sslctl_coordinator_lost_log_lines_total", Kind: Counter, Process: coordinators,
		Help: "Log lines about jobs that the other coordinators do not get, because the message bus took too few.",
	}
)

// What only the leader shows, so that sums over coordinators count nothing twice.
var (
	Jobs = Definition{
		Name: "sslctl_jobs", Kind: Gauge, Labels: []string{"state"}, Process: leader,
		Help: "Jobs by state: waiting, starting, running, pausing, paused, completed, failed or cancelled.",
	}
	Workers = Definition{
		Name: "sslctl_workers", Kind: Gauge, Labels: []string{"state"}, Process: leader,
		Help: "Workers by state, as sslctl worker list shows it: free, busy, cordoned, draining, drained, leaving, lost or away (cordoned and not registered).",
	}
	RaftSilentPeers = Definition{
		Name: "sslctl_raft_silent_peers", Kind: Gauge, Process: leader,
		Help: "Coordinators that do not answer the leader.",
	}
	JobCommittedStep = Definition{
		Name: "sslctl_job_committed_step", Kind: Gauge, Process: leaderOfJob,
		Help: "Newest step of the job whose ledger entry a majority holds.",
	}
	JobPlannedSteps = Definition{
		Name: "sslctl_job_planned_steps", Kind: Gauge, Process: leaderOfJob,
		Help: "Steps of the whole job; 0 until its data is indexed.",
	}
	JobGenerations = Definition{
		Name: "sslctl_job_generations_total", Kind: Counter, Process: leaderOfJob,
		Help: "Generations that the job has had: each worker that joins, leaves or is lost begins another one.",
	}
	JobRepeatedSteps = Definition{
		Name: "sslctl_job_repeated_steps_total", Kind: Counter, Process: leaderOfJob,
		Help: "Steps that were done again because a lost worker took their results along.",
	}
	JobMembers = Definition{
		Name: "sslctl_job_members", Kind: Gauge, Process: leaderOfJob,
		Help: "Workers of the job's generation.",
	}
	JobCorruptSamples = Definition{
		Name: "sslctl_job_corrupt_samples", Kind: Gauge, Process: leaderOfJob,
		Help: "Different samples of the job that could not be decoded; above spec.dataset.maxCorrupt the job fails.",
	}
)

var coordinatorDefinitions = []Definition{
	CoordinatorReady, RaftLeader, RaftPeers, RaftTerm, RaftLastIndex, RaftCommitIndex, RaftAppliedIndex, RaftLogEntries, raftCommitSeconds,
	apiRequestSeconds, apiForwarded, coordinatorHeartbeats, plannerSeconds, plannerCommands, coordinatorEvents, coordinatorLostLines,
}

var leaderDefinitions = []Definition{
	Jobs, Workers, RaftSilentPeers, JobCommittedStep, JobPlannedSteps, JobGenerations, JobRepeatedSteps, JobMembers, JobCorruptSamples,
}

// What became of a request that is not answered here.
const (
	ForwardPassedOn = "passed_on"
	ForwardNoLeader = "no_leader"
)

// What a coordinator made of a heartbeat, beside HeartbeatRefused.
const (
	HeartbeatCurrent = "current"
	HeartbeatStale   = "stale"
	HeartbeatUnknown = "unknown"
)

// CoordinatorMetrics are those of one coordinator that are counted as things happen.
type CoordinatorMetrics struct {
	CommitSeconds   prometheus.Observer
	RequestSeconds  *prometheus.HistogramVec // by method, code
	Forwarded       *prometheus.CounterVec   // by result
	Heartbeats      *prometheus.CounterVec   // by result
	PlannerSeconds  prometheus.Observer
	PlannerCommands prometheus.Counter
	Events          *prometheus.CounterVec // by reason
	LostLines       prometheus.Counter
}

// NewCoordinatorMetrics registers the metrics of the coordinator with this id. read is called at each scrape for the definitions above that
// are exported.
func NewCoordinatorMetrics(reg prometheus.Registerer, id string, read func(report Report)) (*CoordinatorMetrics, error) {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"coordinator": id}, reg)
	commit, requests, forwarded := raftCommitSeconds.histograms(), apiRequestSeconds.histograms(), apiForwarded.counters()
	heartbeats, planner, commands, events := coordinatorHeartbeats.counters(), plannerSeconds.histograms(), plannerCommands.counters(), coordinatorEvents.counters()
	lost := coordinatorLostLines.counters()
	m := &CoordinatorMetrics{
		CommitSeconds: commit.WithLabelValues(), RequestSeconds: requests, Forwarded: forwarded, Heartbeats: heartbeats,
		PlannerSeconds: planner.WithLabelValues(), PlannerCommands: commands.WithLabelValues(), Events: events, LostLines: lost.WithLabelValues(),
	}
	for _, result := range []string{ForwardPassedOn, ForwardNoLeader} {
		forwarded.WithLabelValues(result)
	}
	for _, result := range []string{HeartbeatCurrent, HeartbeatStale, HeartbeatUnknown, HeartbeatRefused} {
		heartbeats.WithLabelValues(result)
	}
	live := newReadings(append([]Definition{
		CoordinatorReady, RaftLeader, RaftPeers, RaftTerm, RaftLastIndex, RaftCommitIndex, RaftAppliedIndex, RaftLogEntries,
	}, leaderDefinitions...), read)
	if err := register(reg, commit, requests, forwarded, heartbeats, planner, commands, events, lost, live); err != nil {
		return nil, err
	}
	return m, nil
}
