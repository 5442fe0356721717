package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	workerRegistered = Definition{
		Name: "sslctl_worker_registered", Kind: Gauge, Process: workers,
		Help: "1 while the worker is registered and a coordinator answers it, as /readyz says.",
	}
	workerHeartbeats = Definition{
		Name: "sslctl_worker_heartbeats_total", Kind: Counter, Labels: []string{"result"}, Process: workers,
		Help: "Heartbeats by result: answered, unanswered (by any coordinator) or refused.",
	}
	workerHeartbeatSeconds = Definition{
		Name: "sslctl_worker_heartbeat_seconds", Kind: Histogram, Unit: "seconds", Process: workers,
		Help:    "How long the coordinators took to answer a heartbeat, commits included.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
	}
	workerGenerations = Definition{
		Name: "sslctl_worker_generations_total", Kind: Counter, Labels: []string{"outcome"}, Process: workers,
		Help: "Generations of jobs that the worker took part in, by outcome: finished (its part is done), stopped (by the coordinators or with the process), failed (the next generation may cure it) or failed_job.",
	}
	workerLostLines = Definition{
		Name: "sslctl_worker_lost_log_lines_total", Kind: Counter, Process: workers,
		Help: "Log lines about jobs that sslctl logs cannot show, because the message bus took too few. The worker's own log has them.",
	}
)

var workerDefinitions = []Definition{workerRegistered, workerHeartbeats, workerHeartbeatSeconds, workerGenerations, workerLostLines}

// What became of a heartbeat.
const (
	HeartbeatAnswered   = "answered"
	HeartbeatUnanswered = "unanswered"
	HeartbeatRefused    = "refused"
)

// How a worker's part in a generation ended.
const (
	GenerationFinished  = "finished"
	GenerationStopped   = "stopped"
	GenerationFailed    = "failed"
	GenerationFailedJob = "failed_job"
)

// WorkerMetrics are those of one worker.
type WorkerMetrics struct {
	Registered       prometheus.Gauge
	Heartbeats       *prometheus.CounterVec // by result
	HeartbeatSeconds prometheus.Observer
	Generations      *prometheus.CounterVec // by outcome
	LostLines        prometheus.Counter

	vecs jobVecs
	mu   sync.Mutex
	uid  string // of the job that job is about
	job  *JobMetrics
}

// NewWorkerMetrics registers the metrics of the worker with this id.
func NewWorkerMetrics(reg prometheus.Registerer, id string) (*WorkerMetrics, error) {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"worker": id}, reg)
	registered, heartbeats := workerRegistered.gauges(), workerHeartbeats.counters()
	seconds, generations, lost := workerHeartbeatSeconds.histograms(), workerGenerations.counters(), workerLostLines.counters()
	m := &WorkerMetrics{
		Registered: registered.WithLabelValues(), Heartbeats: heartbeats, HeartbeatSeconds: seconds.WithLabelValues(), Generations: generations,
		LostLines: lost.WithLabelValues(), vecs: newJobVecs(),
	}
	for _, result := range []string{HeartbeatAnswered, HeartbeatUnanswered, HeartbeatRefused} {
		heartbeats.WithLabelValues(result)
	}
	for _, outcome := range []string{GenerationFinished, GenerationStopped, GenerationFailed, GenerationFailedJob} {
		generations.WithLabelValues(outcome)
	}
	if err := register(reg, append(m.vecs.collectors(), registered, heartbeats, seconds, generations, lost)...); err != nil {
		return nil, err
	}
	return m, nil
}

// Job is the metrics of the worker's part in a job, the same over its generations. Those of another job, and all that it had of this one
// before Leave, are gone.
func (m *WorkerMetrics) Job(uid, name string) *JobMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.job == nil || m.uid != uid {
		m.leave()
		m.uid, m.job = uid, m.vecs.job(uid, name)
	}
	return m.job
}

// Leave removes the series of the job: the worker takes part in none any more.
func (m *WorkerMetrics) Leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leave()
}

func (m *WorkerMetrics) leave() {
	if m.job != nil {
		m.vecs.remove(m.uid)
		m.job = nil
	}
}
