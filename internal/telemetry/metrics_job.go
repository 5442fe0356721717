package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The phases of a step. A step is all of the time between two step boundaries but for what is due at them (digest, checkpoint, evaluation),
// and each of its moments counts to one phase, so the phases add up to the step.
const (
	PhaseData          = "data"          // waiting for the micro-batches
	PhaseCommit        = "commit"        // waiting for the coordinators, when training is maxUncommittedSteps ahead
	PhaseForward       = "forward"       // encoders, objective
	PhaseBackward      = "backward"      // gradients
	PhaseBank          = "bank"          // meeting the memory bank, and writing to it
	PhaseCommunication = "communication" // collectives that the step waits for
	PhaseUpdate        = "update"        // optimizer
)

// Phases lists the values of the label "phase".
func Phases() []string {
	return []string{PhaseData, PhaseCommit, PhaseForward, PhaseBackward, PhaseBank, PhaseCommunication, PhaseUpdate}
}

// Causes lists the values of the label "cause" of rejected frames.
func Causes() []string {
	return []string{"malformed", "corrupt", "foreign", "stale", "misrouted", "duplicate", "out_of_order"}
}

// Values of the label "operation" of checkpoints.
const (
	CheckpointWrite = "write"
	CheckpointRead  = "read"
)

// Values of the label "store".
const (
	StoreDataset    = "dataset"
	StoreCheckpoint = "checkpoint"
	StoreEvaluation = "evaluation"
)

var (
	jobStepSeconds = Definition{
		Name: "sslctl_job_step_seconds", Kind: Histogram, Unit: "seconds", Labels: []string{"phase"}, Process: workersOfJob,
		Help: "Time of each step by phase: data, commit, forward, backward, bank, communication or update. The phases of a step add up to the step; " +
			"communication is what is not hidden behind other work, with the sums' own arithmetic; commit is waiting for the coordinators.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
	}
	jobSteps = Definition{
		Name: "sslctl_job_steps_total", Kind: Counter, Process: workersOfJob,
		Help: "Steps that this worker has finished, skipped and repeated ones included.",
	}
	jobSkippedSteps = Definition{
		Name: "sslctl_job_skipped_steps_total", Kind: Counter, Process: workersOfJob,
		Help: "Steps that changed nothing because a loss or a gradient was not finite.",
	}
	jobSamples = Definition{
		Name: "sslctl_job_samples_total", Kind: Counter, Process: workersOfJob,
		Help: "Samples that this worker has trained on.",
	}
	jobReplacedSamples = Definition{
		Name: "sslctl_job_replaced_samples_total", Kind: Counter, Process: workersOfJob,
		Help: "Samples that could not be decoded and gave way to another, each time that one was met.",
	}
	jobStep = Definition{
		Name: "sslctl_job_step", Kind: Gauge, Process: workersOfJob,
		Help: "Count of the job's finished steps, as this worker knows it.",
	}
	jobLoss = Definition{
		Name: "sslctl_job_loss", Kind: Gauge, Process: workersOfJob,
		Help: "Loss of the newest step, over the whole global batch.",
	}
	jobGradientNorm = Definition{
		Name: "sslctl_job_gradient_norm", Kind: Gauge, Process: workersOfJob,
		Help: "Euclidean norm of the newest step's gradient over all trained parameters, summed over the global batch, before it is clipped.",
	}
	jobParameterNorm = Definition{
		Name: "sslctl_job_parameter_norm", Kind: Gauge, Process: workersOfJob,
		Help: "Euclidean norm of all trained parameters after the newest step.",
	}
	jobLearningRate = Definition{
		Name: "sslctl_job_learning_rate", Kind: Gauge, Process: workersOfJob,
		Help: "Learning rate of the newest step.",
	}
	jobBankBytes = Definition{
		Name: "sslctl_job_bank_bytes", Kind: Gauge, Unit: "bytes", Process: workersOfJob,
		Help: "What this worker holds of the memory bank.",
	}
	ringSentBytes = Definition{
		Name: "sslctl_ring_sent_bytes_total", Kind: Counter, Unit: "bytes", Process: workersOfJob,
		Help: "Data sent to the next rank, frame headers included, repetitions not.",
	}
	ringReceivedBytes = Definition{
		Name: "sslctl_ring_received_bytes_total", Kind: Counter, Unit: "bytes", Process: workersOfJob,
		Help: "Data taken from the previous rank, frame headers included.",
	}
	ringResentBytes = Definition{
		Name: "sslctl_ring_resent_bytes_total", Kind: Counter, Unit: "bytes", Process: workersOfJob,
		Help: "Data sent again after a loss, a reconnect or a stall.",
	}
	ringWaitSeconds = Definition{
		Name: "sslctl_ring_wait_seconds_total", Kind: Counter, Unit: "seconds", Process: workersOfJob,
		Help: "Time that collectives waited for a frame or for room in the window, checkpoints and digests included.",
	}
	ringRejectedFrames = Definition{
		Name: "sslctl_ring_rejected_frames_total", Kind: Counter, Labels: []string{"cause"}, Process: workersOfJob,
		Help: "Frames that were received and dropped, by cause: malformed, corrupt, foreign (another job), stale (another generation), misrouted, duplicate or out_of_order.",
	}
	ringReconnects = Definition{
		Name: "sslctl_ring_reconnects_total", Kind: Counter, Process: workersOfJob,
		Help: "Reconnections to the message bus.",
	}
	ringStraightNeighbours = Definition{
		Name: "sslctl_ring_straight_neighbours", Kind: Gauge, Process: workersOfJob,
		Help: "Neighbours in the ring to which this worker's frames go straight: 2, or 1 in a ring of two. Those to the others take the slower way over the NATS servers of the cluster.",
	}
	checkpointSeconds = Definition{
		Name: "sslctl_checkpoint_seconds", Kind: Histogram, Unit: "seconds", Labels: []string{"operation"}, Process: workersOfJob,
		Help:    "Time to write a checkpoint together with the other ranks, or to read one, by operation: write or read. Failures are not counted.",
		Buckets: prometheus.ExponentialBuckets(0.01, 2, 15),
	}
	checkpointBytes = Definition{
		Name: "sslctl_checkpoint_bytes_total", Kind: Counter, Unit: "bytes", Labels: []string{"operation"}, Process: workersOfJob,
		Help: "This worker's part of the checkpoints that it has written or read.",
	}
	storeRetries = Definition{
		Name: "sslctl_store_retries_total", Kind: Counter, Labels: []string{"store"}, Process: workersOfJob,
		Help: "Operations on a store that failed for now and were tried again, by store: dataset, checkpoint or evaluation.",
	}
	storeWaitSeconds = Definition{
		Name: "sslctl_store_wait_seconds_total", Kind: Counter, Unit: "seconds", Labels: []string{"store"}, Process: workersOfJob,
		Help: "Pauses before those tries, by store. Several readers of one store may pause at the same time.",
	}
	evaluationSeconds = Definition{
		Name: "sslctl_evaluation_seconds", Kind: Histogram, Unit: "seconds", Process: workersOfJob,
		Help:    "Time of an evaluation of the encoder, on rank 0, beside the training.",
		Buckets: prometheus.ExponentialBuckets(0.1, 2, 14),
	}
)

var jobDefinitions = []Definition{
	jobStepSeconds, jobSteps, jobSkippedSteps, jobSamples, jobReplacedSamples, jobStep, jobLoss, jobGradientNorm, jobParameterNorm, jobLearningRate, jobBankBytes,
	ringSentBytes, ringReceivedBytes, ringResentBytes, ringWaitSeconds, ringRejectedFrames, ringReconnects, ringStraightNeighbours,
	checkpointSeconds, checkpointBytes, storeRetries, storeWaitSeconds, evaluationSeconds,
}

// jobVecs are the metrics of all jobs of a worker.
type jobVecs struct {
	counters   map[string]*prometheus.CounterVec // by name
	gauges     map[string]*prometheus.GaugeVec
	histograms map[string]*prometheus.HistogramVec
}

func newJobVecs() jobVecs {
	v := jobVecs{map[string]*prometheus.CounterVec{}, map[string]*prometheus.GaugeVec{}, map[string]*prometheus.HistogramVec{}}
	for _, d := range jobDefinitions {
		switch d.Kind {
		case Counter:
			v.counters[d.Name] = d.counters()
		case Gauge:
			v.gauges[d.Name] = d.gauges()
		case Histogram:
			v.histograms[d.Name] = d.histograms()
		}
	}
	return v
}

func (v jobVecs) collectors() []prometheus.Collector {
	var all []prometheus.Collector
	for _, c := range v.counters {
		all = append(all, c)
	}
	for _, c := range v.gauges {
		all = append(all, c)
	}
	for _, c := range v.histograms {
		all = append(all, c)
	}
	return all
}

// remove drops all series of a job.
func (v jobVecs) remove(uid string) {
	of := prometheus.Labels{"job_uid": uid}
	for _, c := range v.counters {
		c.DeletePartialMatch(of)
	}
	for _, c := range v.gauges {
		c.DeletePartialMatch(of)
	}
	for _, c := range v.histograms {
		c.DeletePartialMatch(of)
	}
}

// JobMetrics are a worker's series of one job.
type JobMetrics struct {
	StepSeconds                           map[string]prometheus.Observer // by phase
	Steps, SkippedSteps                   prometheus.Counter
	Samples, ReplacedSamples              prometheus.Counter
	Step, Loss, BankBytes                 prometheus.Gauge
	GradientNorm, ParameterNorm           prometheus.Gauge
	LearningRate                          prometheus.Gauge
	SentBytes, ReceivedBytes, ResentBytes prometheus.Counter
	WaitSeconds, Reconnects               prometheus.Counter
	StraightNeighbours                    prometheus.Gauge
	RejectedFrames                        map[string]prometheus.Counter // by cause
	CheckpointSeconds                     map[string]prometheus.Observer
	CheckpointBytes                       map[string]prometheus.Counter // by operation
	StoreRetries, StoreWaitSeconds        map[string]prometheus.Counter // by store
	EvaluationSeconds                     prometheus.Observer
}

// job makes the series of a job.
func (v jobVecs) job(uid, name string) *JobMetrics {
	counter := func(d Definition, labels ...string) prometheus.Counter {
		return v.counters[d.Name].WithLabelValues(append([]string{uid, name}, labels...)...)
	}
	gauge := func(d Definition) prometheus.Gauge { return v.gauges[d.Name].WithLabelValues(uid, name) }
	histogram := func(d Definition, labels ...string) prometheus.Observer {
		return v.histograms[d.Name].WithLabelValues(append([]string{uid, name}, labels...)...)
	}
	j := &JobMetrics{
		StepSeconds: map[string]prometheus.Observer{}, Steps: counter(jobSteps), SkippedSteps: counter(jobSkippedSteps),
		Samples: counter(jobSamples), ReplacedSamples: counter(jobReplacedSamples),
		Step: gauge(jobStep), Loss: gauge(jobLoss), BankBytes: gauge(jobBankBytes),
		GradientNorm: gauge(jobGradientNorm), ParameterNorm: gauge(jobParameterNorm), LearningRate: gauge(jobLearningRate),
		SentBytes: counter(ringSentBytes), ReceivedBytes: counter(ringReceivedBytes), ResentBytes: counter(ringResentBytes),
		WaitSeconds: counter(ringWaitSeconds), Reconnects: counter(ringReconnects), StraightNeighbours: gauge(ringStraightNeighbours), RejectedFrames: map[string]prometheus.Counter{},
		CheckpointSeconds: map[string]prometheus.Observer{}, CheckpointBytes: map[string]prometheus.Counter{},
		StoreRetries: map[string]prometheus.Counter{}, StoreWaitSeconds: map[string]prometheus.Counter{},
		EvaluationSeconds: histogram(evaluationSeconds),
	}
	for _, phase := range Phases() {
		j.StepSeconds[phase] = histogram(jobStepSeconds, phase)
	}
	for _, cause := range Causes() {
		j.RejectedFrames[cause] = counter(ringRejectedFrames, cause)
	}
	for _, operation := range []string{CheckpointWrite, CheckpointRead} {
		j.CheckpointSeconds[operation] = histogram(checkpointSeconds, operation)
		j.CheckpointBytes[operation] = counter(checkpointBytes, operation)
	}
	for _, store := range []string{StoreDataset, StoreCheckpoint, StoreEvaluation} {
		j.StoreRetries[store] = counter(storeRetries, store)
		j.StoreWaitSeconds[store] = counter(storeWaitSeconds, store)
	}
	return j
}
