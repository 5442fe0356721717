package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// EventReason says in one word, for programs, what has happened.
type EventReason string

// What happens to jobs and workers.
const (
	EventSubmitted  EventReason = "Submitted"
	EventWaiting    EventReason = "Waiting"   // for workers
	EventStarted    EventReason = "Started"   // a generation, after none
	EventReformed   EventReason = "Reformed"  // a generation, in place of another
	EventRunning    EventReason = "Running"   // all members of a generation
	EventReforming  EventReason = "Reforming" // stops at the next step boundary, for another generation
	EventScaled     EventReason = "Scaled"    //
	EventDeleted    EventReason = "Deleted"   //
	EventPausing    EventReason = "Pausing"   // at the next step boundary
	EventPaused     EventReason = "Paused"    //
	EventResumed    EventReason = "Resumed"   //
	EventSuspended  EventReason = "Suspended" // a generation ended, and there are too few workers for the next
	EventCompleted  EventReason = "Completed"
	EventFailed     EventReason = "Failed"
	EventCancelled  EventReason = "Cancelled"
	EventIndexed    EventReason = "Indexed" // the length of the job is known
	EventCheckpoint EventReason = "CheckpointStored"
	EventEvaluated  EventReason = "Evaluated"
	EventCorrupt    EventReason = "SampleReplaced"
	EventExported   EventReason = "Exported"
	EventRestored   EventReason = "Restored" // from a snapshot of another time

	EventRegistered EventReason = "Registered"
	EventReplaced   EventReason = "Replaced" // by another process of the same id
	EventLost       EventReason = "Lost"     // it has fallen silent
	EventFound      EventReason = "Found"    // it was heard again
	EventForgotten  EventReason = "Forgotten"
	EventCordoned   EventReason = "Cordoned"
	EventDraining   EventReason = "Draining"
	EventDrained    EventReason = "Drained" // no job has it any more
	EventUncordoned EventReason = "Uncordoned"
)

// Warning tells whether something went wrong.
func (r EventReason) Warning() bool {
	return r == EventFailed || r == EventCorrupt || r == EventSuspended || r == EventLost
}

// routine tells whether events of this reason may come again and again, and must not push out the others.
func (r EventReason) routine() bool {
	return r == EventCheckpoint || r == EventEvaluated || r == EventCorrupt || r == EventWaiting
}

// Event is something that happened to a job or worker.
type Event struct {
	ID         uint64      `json:"id"` // grows with time; it follows from the log, so all coordinators give the same
	AtMS       int64       `json:"at_ms"`
	Job        uint64      `json:"job,omitempty"` // UID; 0 if it is about a worker alone
	Name       string      `json:"name,omitempty"`
	Worker     string      `json:"worker,omitempty"`
	Generation uint64      `json:"generation,omitempty"` // of the job, then
	Step       uint64      `json:"step,omitempty"`       // committed by the job, then
	Reason     EventReason `json:"reason"`
	Text       string      `json:"text"`
}

// Events are bounded, so that the state is: eventsOfJob for each job, eventsOfCluster for workers and for jobs that were deleted.
const (
	eventsOfJob     = 100
	eventsOfCluster = 400
)

// EventsOfCommand is more than one command has: Event.ID is the index of the command times this, plus the place among its events.
const EventsOfCommand = 1 << 10

// note is a list of events with one more, and without an old one if it is full: the oldest, or where more than a quarter are routine,
// the oldest of those.
func note(list []Event, e Event, most int) []Event {
	list = append(slices.Clone(list), e)
	if len(list) <= most {
		return list
	}
	drop, routine := 0, 0
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Reason.routine() {
			drop = i
			routine++
		}
	}
	if 4*routine <= most {
		drop = 0
	}
	return slices.Delete(list, drop, drop+1)
}

// happened is the next event of this command.
func (t *transition) happened(e Event, format string, args ...any) Event {
	e.ID = t.next.Index*EventsOfCommand + uint64(len(t.result.Events))
	e.AtMS, e.Text = t.nowMS, fmt.Sprintf(format, args...)
	t.result.Events = append(t.result.Events, e)
	return e
}

// event notes what has happened to a job that is being edited.
func (t *transition) event(job *Job, reason EventReason, format string, args ...any) {
	e := t.happened(Event{Job: job.UID, Name: job.Name, Generation: job.Generation, Step: job.Committed(), Reason: reason}, format, args...)
	job.Events = note(job.Events, e, eventsOfJob)
}

// worker notes what has happened to a worker.
func (t *transition) worker(id string, reason EventReason, format string, args ...any) {
	t.next.Events = note(t.next.Events, t.happened(Event{Worker: id, Reason: reason}, format, args...), eventsOfCluster)
}

// AllEvents lists the events of all jobs and workers, oldest first.
func (s *State) AllEvents() []Event {
	list := slices.Clone(s.Events)
	for _, j := range s.Jobs {
		list = append(list, j.Events...)
	}
	slices.SortFunc(list, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// summary names the main measures of an evaluation: ": knn.top1 0.8123, linear.top1 0.8401".
func (e Evaluation) summary() string {
	var b strings.Builder
	before := ": "
	for _, name := range []string{"knn.top1", "linear.top1"} {
		if x, ok := e.Values[name]; ok {
			fmt.Fprintf(&b, "%s%s %.4f", before, name, float64(x))
			before = ", "
		}
	}
	return b.String()
}
