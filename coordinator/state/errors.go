package state

import (
	"errors"
	"fmt"
)

// What Apply refuses a command with. Result.Err wraps one of them; it says which job or worker it is about where the command does not.
var (
	// ErrNoJob is returned when no job has the UID.
	ErrNoJob = errors.New("no such job")
	// ErrNameTaken is returned when a living job has the name.
	ErrNameTaken = errors.New("a job of this name has not ended")
	// ErrEnded is returned when something is asked of a job that has ended.
	ErrEnded = errors.New("the job has ended")
	// ErrLiving is returned when a job is to be deleted that has not ended.
	ErrLiving = errors.New("the job has not ended")
	// ErrPausing is returned when a job is resumed before its pause is complete.
	ErrPausing = errors.New("the job has not stopped yet")
	// ErrStale is returned for what concerns another generation than the current one, or comes from another process than its rank 0.
	ErrStale = errors.New("not of the current generation")
	// ErrNotContiguous is returned for a ledger entry that does not begin where the ledger ends.
	ErrNotContiguous = errors.New("ledger entry does not begin where the ledger ends")
	// ErrContradiction is returned for a ledger entry that repeats committed steps with another digest.
	ErrContradiction = errors.New("ledger entry repeats committed steps with another digest")
	// ErrPlanChanged is returned when the data set is not the one that the job began with; the job fails.
	ErrPlanChanged = errors.New("the data set has changed since the job began")
	// ErrReplaced is returned when a worker process registers whose place a newer process has taken.
	ErrReplaced = errors.New("a newer process has taken this worker's id")
	// ErrNoWorker is returned when no worker has the id and incarnation.
	ErrNoWorker = errors.New("no such worker")
	// ErrBusy is returned when a generation would take a worker that another job has.
	ErrBusy = errors.New("worker belongs to another job")
	// ErrInvalid is returned for a command that no correct planner or API would make.
	ErrInvalid = errors.New("invalid command")
	// ErrVersion is returned for a command or snapshot of a format that this program does not know.
	ErrVersion = errors.New("unknown format version")
)

// refusal matches kind and says nothing of it: its own words say it all, and whoever has asked knows of what.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}
