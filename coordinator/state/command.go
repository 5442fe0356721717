package state

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// CommandVersion is the newest version of the commands that this package writes and reads. Version 2 has added Cordon, Uncordon, Wait, Lose, Find,
// Reform, Scale, Delete, selectors and resuming what has failed.
const CommandVersion = 2

// Command is one change that the coordinators agree on. Exactly one of the pointers is set. It is written to the Raft log as JSON.
type Command struct {
	Version int   `json:"version"`
	NowMS   int64 `json:"now_ms"` // when it was made, Unix time

	Submit        *Submit        `json:"submit,omitempty"`
	Pause         *Pause         `json:"pause,omitempty"`
	Resume        *Resume        `json:"resume,omitempty"`
	Cancel        *Cancel        `json:"cancel,omitempty"`
	Register      *Register      `json:"register,omitempty"`
	Forget        *Forget        `json:"forget,omitempty"`
	Cordon        *Cordoning     `json:"cordon,omitempty"`
	Uncordon      *Uncordon      `json:"uncordon,omitempty"`
	Wait          *Wait          `json:"wait,omitempty"`
	Lose          *Lose          `json:"lose,omitempty"`
	Find          *Find          `json:"find,omitempty"`
	Reform        *Reform        `json:"reform,omitempty"`
	Scale         *Scale         `json:"scale,omitempty"`
	Delete        *Delete        `json:"delete,omitempty"`
	Start         *Start         `json:"start,omitempty"`
	MarkRunning   *MarkRunning   `json:"mark_running,omitempty"`
	EndGeneration *EndGeneration `json:"end_generation,omitempty"`
	Progress      *Progress      `json:"progress,omitempty"`
}

// Submit hands in a job. A RequestID that an earlier job has finds that job.
type Submit struct {
	RequestID string            `json:"request_id,omitempty"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	Priority  int               `json:"priority"`
	Spec      []byte            `json:"spec"`
	Need      Requirements      `json:"need"`
}

// Pause stops a job at a step boundary with a checkpoint; at once if it has no running workers.
type Pause struct {
	Job   uint64 `json:"job"`
	Final *Final `json:"final,omitempty"`
}

// Resume continues a paused job; with Failed, which commands of version 1 do not have, also one that has failed.
type Resume struct {
	Job    uint64 `json:"job"`
	Failed bool   `json:"failed,omitempty"`
}

// Cancel ends a job at once.
type Cancel struct {
	Job   uint64 `json:"job"`
	Final *Final `json:"final,omitempty"`
}

// Register announces a worker process; it replaces another process of the same id. What Apply itself sets is ignored.
type Register struct {
	Worker Worker `json:"worker"`
}

// Forget drops a worker that is gone.
type Forget struct {
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
}

// Cordoning keeps a worker id from new work.
type Cordoning struct {
	Worker string `json:"worker"`
	Drain  bool   `json:"drain,omitempty"`
}

// Uncordon takes a Cordoning back.
type Uncordon struct {
	Worker string `json:"worker"`
}

// Wait notes what a waiting job waits for.
type Wait struct {
	Job uint64 `json:"job"`
	For string `json:"for"`
}

// Start begins the next generation of a job, and ends the current one if there is one.
type Start struct {
	Job        uint64   `json:"job"`
	Generation uint64   `json:"generation"` // the number it gets: one more than the last
	Members    []Member `json:"members"`    // in rank order
	StartStep  uint64   `json:"start_step"` // of the newest checkpoint, or 0
	Source     Source   `json:"source"`
	Numerics   string   `json:"numerics"`
	Reason     string   `json:"reason"` // why the job starts, or why the current generation ends
	Blameless  bool     `json:"blameless,omitempty"`
	Final      *Final   `json:"final,omitempty"`
}

// MarkRunning says that all members of a generation run.
type MarkRunning struct {
	Job        uint64 `json:"job"`
	Generation uint64 `json:"generation"`
}

// EndGeneration ends a job's current generation without a next one.
type EndGeneration struct {
	Job        uint64   `json:"job"`
	Generation uint64   `json:"generation"`
	To         JobState `json:"to"` // Waiting, Paused, Completed or Failed
	Reason     string   `json:"reason,omitempty"`
	Blameless  bool     `json:"blameless,omitempty"` // it does not count as fruitless: a worker left because it was asked to
	Final      *Final   `json:"final,omitempty"`
}

// Lose notes that a worker process has fallen silent.
type Lose struct {
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
	Why         string `json:"why"`
}

// Find notes that a worker process was heard again after Lose.
type Find struct {
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
}

// Reform has the current generation of a job store a checkpoint at the next step boundary and stop, so that the next one takes its place and
// repeats nothing.
type Reform struct {
	Job        uint64 `json:"job"`
	Generation uint64 `json:"generation"`
	Reason     string `json:"reason"`
}

// Scale changes how many workers a job has at least and at most. With Reform, its current generation makes place for one of another size.
type Scale struct {
	Job        uint64 `json:"job"`
	WorkersMin int    `json:"workers_min"`
	WorkersMax int    `json:"workers_max"`
	Reform     string `json:"reform,omitempty"`
}

// Delete removes a job that has ended, or with Force one that it ends first.
type Delete struct {
	Job   uint64 `json:"job"`
	Force bool   `json:"force,omitempty"`
	Final *Final `json:"final,omitempty"`
}

// Progress is what rank 0 of a generation reports as done. Parts that are already known are ignored, so it may be repeated.
type Progress struct {
	Job         uint64       `json:"job"`
	Generation  uint64       `json:"generation"`
	Worker      string       `json:"worker"`
	Incarnation uint64       `json:"incarnation"`
	Plan        *Plan        `json:"plan,omitempty"`
	Shards      []Shard      `json:"shards,omitempty"` // with Plan
	Ledger      []Entry      `json:"ledger,omitempty"`
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"`
	Removed     []string     `json:"removed,omitempty"` // URIs of checkpoints
	Evaluations []Evaluation `json:"evaluations,omitempty"`
	EpochLosses []Number     `json:"epoch_losses,omitempty"` // of all finished epochs
	Corrupt     []string     `json:"corrupt,omitempty"`
	Exported    string       `json:"exported,omitempty"`
}

// Final is what the leader had last heard from the members of a generation when it ended.
type Final struct {
	Step    uint64         `json:"step"` // furthest of any member, committed or not
	Figures Figures        `json:"figures"`
	Members []MemberFigure `json:"members"` // in rank order
}

// MemberFigure is one member's part of a Final.
type MemberFigure struct {
	Samples       uint64 `json:"samples"`
	RingBytesSent uint64 `json:"ring_bytes_sent"`
	BankBytes     uint64 `json:"bank_bytes"`
	Phase         string `json:"phase,omitempty"`
	Detail        string `json:"detail,omitempty"`
}

// version is the oldest version that knows what c holds. Coordinators of an older program can follow a log for as long as nobody uses what
// they do not know.
func (c Command) version() int {
	newer := c.Cordon != nil || c.Uncordon != nil || c.Wait != nil || c.Lose != nil || c.Find != nil || c.Reform != nil || c.Scale != nil || c.Delete != nil
	if newer || (c.Resume != nil && c.Resume.Failed) || (c.Submit != nil && len(c.Submit.Need.Selector) > 0) {
		return 2
	}
	return 1
}

// Encode writes c for the Raft log.
func (c Command) Encode() ([]byte, error) {
	c.Version = c.version()
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return data, nil
}

// Decode reads what Encode has written. It returns ErrVersion for a command of a newer program: to pass over what it does not
// understand would make this coordinator differ from the others.
func Decode(data []byte) (Command, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Command{}, fmt.Errorf("decode command: %w", err)
	}
	if head.Version < 1 || head.Version > CommandVersion {
		return Command{}, fmt.Errorf("decode command of version %d, this program knows versions up to %d: %w", head.Version, CommandVersion, ErrVersion)
	}
	var c Command
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Command{}, fmt.Errorf("decode command: %w", err)
	}
	return c, nil
}
