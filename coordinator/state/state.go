// Package state is what a coordinator group has agreed on: jobs, workers, generations, the ledger of committed steps. It is a pure
// function of the commands applied to it: no clock, no socket, no goroutine, no randomness. Time and choices are fields of the commands.
//
// A State and everything that it points to are immutable. Apply returns a new State that shares what has not changed, so that readers
// and snapshots need no lock.
package state

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// JobState is where a job is in its life.
type JobState string

// The states of a job. Starting, Running and Pausing have a current generation; Completed, Failed and Cancelled are ends.
const (
	Waiting   JobState = "waiting"
	Starting  JobState = "starting"
	Running   JobState = "running"
	Pausing   JobState = "pausing"
	Paused    JobState = "paused"
	Completed JobState = "completed"
	Failed    JobState = "failed"
	Cancelled JobState = "cancelled"
)

// Active tells whether workers are assigned to a job in this state.
func (s JobState) Active() bool { return s == Starting || s == Running || s == Pausing }

// Ended tells whether a job in this state does not run any more. Only a failed one can be resumed.
func (s JobState) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// AutoNumerics is the Requirements.Numerics of a job that takes the profile of its first workers.
const AutoNumerics = "auto"

// State is everything that the coordinators have agreed on.
type State struct {
	Index   uint64             `json:"index"`             // of the last command applied
	Jobs    map[uint64]*Job    `json:"jobs"`              // by UID
	Workers map[string]*Worker `json:"workers"`           // by id
	Cordons map[string]Cordon  `json:"cordons,omitempty"` // by worker id; they outlive the worker's process
	Events  []Event            `json:"events,omitempty"`  // of workers and of deleted jobs, oldest first
}

// Cordon keeps a worker id from new work.
type Cordon struct {
	Drain   bool  `json:"drain,omitempty"` // its job is to go on without it
	SinceMS int64 `json:"since_ms"`
}

// New is the state before the first command.
func New() *State { return &State{Jobs: map[uint64]*Job{}, Workers: map[string]*Worker{}} }

// Requirements is what the coordinators must know of a job file in order to place its job and to judge its progress.
type Requirements struct {
	WorkersMin     int    `json:"workers_min"`
	WorkersMax     int    `json:"workers_max"`
	VirtualRanks   int    `json:"virtual_ranks"`
	Numerics       string `json:"numerics"` // a profile, or AutoNumerics
	DetectWithinMS int64  `json:"detect_within_ms"`
	// Selector are the labels that a worker must have to take part.
	Selector    map[string]string `json:"selector,omitempty"`
	GlobalBatch uint64            `json:"global_batch"` // samples of a step
	Epochs      Number            `json:"epochs"`
}

// Job is one pretraining run.
type Job struct {
	UID       uint64            `json:"uid"` // index of the command that submitted it; never reused
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	Priority  int               `json:"priority"`
	Spec      []byte            `json:"spec"` // YAML
	Need      Requirements      `json:"need"`

	State       JobState `json:"state"`
	Reason      string   `json:"reason,omitempty"`   // why it is in this state
	SinceMS     int64    `json:"since_ms,omitempty"` // when it came into this state
	Waits       *Waits   `json:"waits,omitempty"`    // while it is Waiting, what was last noted of what it waits for
	SubmittedMS int64    `json:"submitted_ms"`
	StartedMS   int64    `json:"started_ms,omitempty"` // of the first generation
	EndedMS     int64    `json:"ended_ms,omitempty"`
	Numerics    string   `json:"numerics,omitempty"` // pinned profile; empty before the first generation of an auto job

	Generation uint64   `json:"generation"`         // current or last; 0 before the first
	BegunMS    int64    `json:"begun_ms,omitempty"` // when that generation started
	Members    []Member `json:"members,omitempty"`
	Reform     string   `json:"reform,omitempty"` // why the current generation is to stop at the next step boundary and make place for another
	StartStep  uint64   `json:"start_step"`
	Source     Source   `json:"source"`
	Progressed bool     `json:"progressed"` // the current generation has committed a step
	Fruitless  int      `json:"fruitless"`  // ended generations in a row that committed no step

	GenerationsLeft uint64 `json:"generations_left,omitempty"` // numbers up to Generation that no generation has had; see Restored

	Plan           *Plan        `json:"plan,omitempty"`
	PlanGeneration uint64       `json:"plan_generation,omitempty"` // whose shards Shards are
	Shards         []Shard      `json:"shards,omitempty"`
	Ledger         Ledger       `json:"ledger"`
	Evaluations    []Evaluation `json:"evaluations,omitempty"` // in step order
	Checkpoints    []Checkpoint `json:"checkpoints,omitempty"` // in step order
	EpochLosses    []Number     `json:"epoch_losses,omitempty"`
	Corrupt        []string     `json:"corrupt,omitempty"` // samples, sorted
	Exported       string       `json:"exported,omitempty"`

	Reached  uint64   `json:"reached"`  // furthest step done since the last start, committed or not, as of the last end of a generation
	Repeated uint64   `json:"repeated"` // steps done more than once
	Last     Figures  `json:"last"`     // when the last generation ended
	Rejected Rejected `json:"rejected"`
	Events   []Event  `json:"events,omitempty"` // oldest first
}

// Waits is what a job was waiting for at some time.
type Waits struct {
	For  string `json:"for"`
	AtMS int64  `json:"at_ms"`
}

// Source is the checkpoint that a generation starts from; empty for a fresh start.
type Source struct {
	URI    string `json:"uri,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// Member is one worker's place in a generation. It owns the virtual ranks [Lo, Hi).
type Member struct {
	Worker      string `json:"worker"`
	Incarnation uint64 `json:"incarnation"`
	Lo          int    `json:"lo"`
	Hi          int    `json:"hi"`
	// The following are known once the generation has ended.
	Samples       uint64 `json:"samples,omitempty"`
	RingBytesSent uint64 `json:"ring_bytes_sent,omitempty"`
	BankBytes     uint64 `json:"bank_bytes,omitempty"`
	Phase         string `json:"phase,omitempty"`
	Detail        string `json:"detail,omitempty"`
}

// Figures are what rank 0 last reported beside the ledger.
type Figures struct {
	Loss             Number            `json:"loss"`
	SamplesPerSecond Number            `json:"samples_per_second"`
	Metrics          map[string]Number `json:"metrics,omitempty"`
}

// Plan is what indexing the data has shown. It may not change during a job.
type Plan struct {
	SamplesPerEpoch uint64 `json:"samples_per_epoch"`
	StepsTotal      uint64 `json:"steps_total"`
	SamplesUnused   uint64 `json:"samples_unused"`
}

// Shard is a contiguous slice of a data shard that one virtual rank reads.
type Shard struct {
	Name        string `json:"name"`
	FirstSample uint64 `json:"first_sample"`
	Samples     uint64 `json:"samples"`
	VirtualRank int    `json:"virtual_rank"`
}

// Evaluation is one measurement of the encoder.
type Evaluation struct {
	Step   uint64            `json:"step"`
	Epoch  Number            `json:"epoch"`
	Values map[string]Number `json:"values"`
	// Warning is what the worker makes of the values, if they look bad.
	Warning string `json:"warning,omitempty"`
}

// Checkpoint is one complete checkpoint.
type Checkpoint struct {
	Step   uint64 `json:"step"`
	URI    string `json:"uri"`
	Digest string `json:"digest"`
	Bytes  uint64 `json:"bytes"`
}

// Rejected counts what was refused.
type Rejected struct {
	Stale         uint64 `json:"stale"`          // reports of another generation, or not from its rank 0
	NotContiguous uint64 `json:"not_contiguous"` // ledger entries that do not begin where the ledger ends
	Contradicting uint64 `json:"contradicting"`  // ledger entries that repeat steps with another digest
}

// Worker is a registered worker process.
type Worker struct {
	ID           string            `json:"id"`
	Incarnation  uint64            `json:"incarnation"`
	Numerics     []string          `json:"numerics"` // profiles it can run, best first
	Labels       map[string]string `json:"labels,omitempty"`
	Version      string            `json:"version,omitempty"`
	Cores        int               `json:"cores,omitempty"`
	Host         string            `json:"host,omitempty"`
	RegisteredMS int64             `json:"registered_ms"`
	LostMS       int64             `json:"lost_ms,omitempty"`  // when it was noted that it has fallen silent; 0 while it is heard
	Replaced     []uint64          `json:"replaced,omitempty"` // the newest incarnations that this one has replaced, newest last
}

// Job finds a job by UID in decimal or by name: of several jobs of a name, the one that has not ended, else the newest. It is nil if
// there is none.
func (s *State) Job(key string) *Job {
	if uid, err := strconv.ParseUint(key, 10, 64); err == nil && s.Jobs[uid] != nil {
		return s.Jobs[uid]
	}
	var found *Job
	for _, j := range s.Jobs {
		if j.Name != key {
			continue
		}
		if found == nil || (!j.State.Ended() && found.State.Ended()) || (j.State.Ended() == found.State.Ended() && j.UID > found.UID) {
			found = j
		}
	}
	return found
}

// ByUID lists the jobs in order of submission.
func (s *State) ByUID() []*Job {
	return slices.SortedFunc(maps.Values(s.Jobs), func(a, b *Job) int { return cmp.Compare(a.UID, b.UID) })
}

// ByID lists the workers in order of their ids.
func (s *State) ByID() []*Worker {
	return slices.SortedFunc(maps.Values(s.Workers), func(a, b *Worker) int { return cmp.Compare(a.ID, b.ID) })
}

// Assigned is the active job that a worker process is a member of, and its rank there; nil if there is none.
func (s *State) Assigned(worker string, incarnation uint64) (*Job, int) {
	for _, j := range s.Jobs {
		if !j.State.Active() {
			continue
		}
		if r := slices.IndexFunc(j.Members, func(m Member) bool { return m.Worker == worker && m.Incarnation == incarnation }); r >= 0 {
			return j, r
		}
	}
	return nil, 0
}

// Selects tells whether a worker with these labels may take part.
func (r Requirements) Selects(labels map[string]string) bool {
	for k, want := range r.Selector {
		if have, ok := labels[k]; !ok || have != want {
			return false
		}
	}
	return true
}

// Stopping tells whether the workers of the current generation are to store a checkpoint at the next step boundary and stop.
func (j *Job) Stopping() bool { return j.State == Pausing || (j.State.Active() && j.Reform != "") }

// Since is when the job came into its state.
func (j *Job) Since() int64 { return max(j.SinceMS, j.SubmittedMS) } // a job of an older program has no SinceMS

// Generations is how many generations the job has had.
func (j *Job) Generations() uint64 { return j.Generation - j.GenerationsLeft }

// Committed is the number of committed steps.
func (j *Job) Committed() uint64 { return j.Ledger.End() }

// Newest is the newest committed checkpoint, or the zero Checkpoint if there is none.
func (j *Job) Newest() Checkpoint {
	if len(j.Checkpoints) == 0 {
		return Checkpoint{}
	}
	return j.Checkpoints[len(j.Checkpoints)-1]
}

// FloorsKnown tells whether the committed evaluations hold the floors: raw pixels, and the untrained model.
func (j *Job) FloorsKnown() bool {
	raw, untrained := false, false
	for _, e := range j.Evaluations {
		for name := range e.Values {
			raw = raw || strings.HasPrefix(name, "rawPixel.")
			untrained = untrained || strings.HasPrefix(name, "untrained.")
		}
	}
	return raw && untrained
}

// EpochsFinished is the number of epochs whose samples are all used after step steps; all of them after the last step, which may leave
// a tail unused.
func (j *Job) EpochsFinished(step uint64) int {
	if j.Plan == nil || j.Plan.SamplesPerEpoch == 0 {
		return 0
	}
	if step >= j.Plan.StepsTotal {
		return len(j.EpochLosses)
	}
	return int(step * j.Need.GlobalBatch / j.Plan.SamplesPerEpoch)
}

// Ownership cuts v virtual ranks into w contiguous runs: rank r of w owns [⌊r·v/w⌋, ⌊(r+1)·v/w⌋).
func Ownership(r, w, v int) (lo, hi int) { return r * v / w, (r + 1) * v / w }
