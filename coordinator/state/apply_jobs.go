package state

import (
	"fmt"
)

func (t *transition) submit(index uint64, c Submit) error {
	for _, j := range t.next.Jobs {
		if c.RequestID != "" && j.RequestID == c.RequestID {
			t.result.Job = j.UID
			return nil
		}
	}
	if j := t.namesake(c.Name); j != nil {
		return fmt.Errorf("%w: job %d, named %q, is %s; wait for its end, cancel it, or choose another metadata.name", ErrNameTaken, j.UID, c.Name, j.State)
	}
	n := c.Need
	if c.Name == "" || n.WorkersMin < 1 || n.WorkersMax < n.WorkersMin || n.VirtualRanks < n.WorkersMin || n.GlobalBatch == 0 {
		return fmt.Errorf("submit job %q: requirements %+v make no sense: %w", c.Name, n, ErrInvalid)
	}
	job := &Job{
		UID: index, Name: c.Name, Labels: c.Labels, RequestID: c.RequestID, Priority: c.Priority, Spec: c.Spec, Need: n,
		State: Waiting, SubmittedMS: t.nowMS, SinceMS: t.nowMS,
	}
	if n.Numerics != AutoNumerics {
		job.Numerics = n.Numerics
	}
	t.next.Jobs[index] = job
	t.result.Job = index
	t.event(job, EventSubmitted, "submitted as %q", c.Name)
	return nil
}

// namesake is the job of that name that has not ended, or nil.
func (t *transition) namesake(name string) *Job {
	for _, j := range t.next.Jobs {
		if j.Name == name && !j.State.Ended() {
			return j
		}
	}
	return nil
}

func (t *transition) pause(c Pause) error {
	job, err := t.living(c.Job)
	if err != nil {
		return err
	}
	switch job.State {
	case Waiting:
		t.move(job, Paused, "")
		t.event(job, EventPaused, "paused while it waited")
	case Starting: // no step has been committed in this generation
		t.close(job, c.Final, false, true)
		t.move(job, Paused, "")
		t.event(job, EventPaused, "paused before generation %d did a step", job.Generation)
	case Running:
		t.move(job, Pausing, "")
		t.event(job, EventPausing, "pausing at the next step")
	}
	return nil
}

func (t *transition) resume(c Resume) error {
	job, err := t.edit(c.Job)
	switch {
	case err != nil:
		return err
	case c.Failed && job.State == Failed:
		return t.revive(job)
	case job.State.Ended():
		return refuse(ErrEnded, "it has ended as %s; submit its job file again to start anew", job.State)
	}
	switch job.State {
	case Pausing:
		return refuse(ErrPausing, "it is still pausing; resume it when it is paused")
	case Paused:
		t.move(job, Waiting, "")
		job.Fruitless = 0
		t.event(job, EventResumed, "resumed")
	}
	return nil
}

// revive lets a failed job go on from its newest checkpoint: what made it fail may have been mended.
func (t *transition) revive(job *Job) error {
	if j := t.namesake(job.Name); j != nil {
		return fmt.Errorf("%w: job %d, named %q too, is %s; wait for its end, or cancel it", ErrNameTaken, j.UID, job.Name, j.State)
	}
	t.event(job, EventResumed, "resumed from step %d after it had failed", job.Newest().Step)
	t.move(job, Waiting, "")
	job.EndedMS, job.Fruitless = 0, 0
	return nil
}

func (t *transition) cancel(c Cancel) error {
	if job := t.next.Jobs[c.Job]; job != nil && job.State == Cancelled {
		t.result.Job = c.Job
		return nil
	}
	job, err := t.living(c.Job)
	if err != nil {
		return err
	}
	t.close(job, c.Final, false, true)
	t.end(job, Cancelled, "cancelled by request")
	return nil
}

func (t *transition) scale(c Scale) error {
	job, err := t.living(c.Job)
	if err != nil {
		return err
	}
	n := &job.Need
	if c.WorkersMin < 1 || c.WorkersMax < c.WorkersMin || c.WorkersMax > n.VirtualRanks {
		return refuse(ErrInvalid, "it cannot have at least %d and at most %d workers; expected 1 ≤ least ≤ most ≤ %d, its virtual ranks",
			c.WorkersMin, c.WorkersMax, n.VirtualRanks)
	}
	if c.WorkersMin != n.WorkersMin || c.WorkersMax != n.WorkersMax {
		t.event(job, EventScaled, "takes %s, before %s", bounds(c.WorkersMin, c.WorkersMax), bounds(n.WorkersMin, n.WorkersMax))
		n.WorkersMin, n.WorkersMax = c.WorkersMin, c.WorkersMax
	}
	if c.Reform != "" && job.State.Active() {
		t.reforming(job, c.Reform)
	}
	return nil
}

// bounds says how many workers a job may have: "2 to 4 workers".
func bounds(least, most int) string {
	switch {
	case least < most:
		return fmt.Sprintf("%d to %d workers", least, most)
	case most == 1:
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", most)
}

func (t *transition) delete(c Delete) error {
	job, err := t.edit(c.Job)
	if err != nil {
		return err
	}
	if !job.State.Ended() {
		if !c.Force {
			return refuse(ErrLiving, "it is %s; cancel it first, or delete it with --force", job.State)
		}
		t.close(job, c.Final, false, true)
		t.end(job, Cancelled, "cancelled, to be deleted")
	}
	delete(t.next.Jobs, c.Job)
	e := t.happened(Event{Job: job.UID, Name: job.Name, Generation: job.Generation, Step: job.Committed(), Reason: EventDeleted}, "deleted; it was %s", job.State)
	t.next.Events = note(t.next.Events, e, eventsOfCluster)
	return nil
}

// living is edit, for a job that has not ended.
func (t *transition) living(uid uint64) (*Job, error) {
	job, err := t.edit(uid)
	if err != nil {
		return nil, err
	}
	if job.State.Ended() {
		return nil, refuse(ErrEnded, "it has ended as %s", job.State)
	}
	return job, nil
}

// end puts a job into one of its end states.
func (t *transition) end(job *Job, to JobState, reason string) {
	t.move(job, to, reason)
	job.EndedMS = t.nowMS
	happened := map[JobState]EventReason{Completed: EventCompleted, Failed: EventFailed, Cancelled: EventCancelled}[to]
	if reason == "" {
		t.event(job, happened, "%s at step %d", to, job.Committed())
		return
	}
	t.event(job, happened, "%s at step %d: %s", to, job.Committed(), reason)
}

// move puts a job into a state.
func (t *transition) move(job *Job, to JobState, reason string) {
	if to != job.State {
		job.SinceMS = t.nowMS
	}
	job.State, job.Reason, job.Waits = to, reason, nil
}

// wait notes what a job waits for.
func (t *transition) wait(c Wait) error {
	job, err := t.living(c.Job)
	if err != nil {
		return err
	}
	if job.State != Waiting {
		return fmt.Errorf("note what job %q waits for: it is %s: %w", job.Name, job.State, ErrStale)
	}
	job.Waits = &Waits{For: c.For, AtMS: t.nowMS}
	t.event(job, EventWaiting, "waits: %s", c.For)
	return nil
}
