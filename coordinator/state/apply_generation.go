package state

import (
	"fmt"
	"slices"
	"strings"
)

func (t *transition) start(c Start) error {
	old, ok := t.next.Jobs[c.Job]
	if !ok {
		return fmt.Errorf("start generation %d: job %d: %w", c.Generation, c.Job, ErrNoJob)
	}
	if err := t.checkStart(old, c); err != nil {
		return fmt.Errorf("start generation %d of job %q: %w", c.Generation, old.Name, err)
	}
	job, err := t.edit(c.Job)
	if err != nil {
		return err
	}
	t.close(job, c.Final, c.Blameless, false)
	reached := max(job.Reached, job.Committed())
	job.Repeated += reached - c.StartStep
	job.Reached = c.StartStep
	rollback(job, c.StartStep)

	reason := EventStarted
	if job.State.Active() {
		reason = EventReformed
	}
	t.move(job, Starting, c.Reason)
	job.Generation, job.BegunMS, job.Members = c.Generation, t.nowMS, c.Members
	job.StartStep, job.Source, job.Numerics, job.Progressed = c.StartStep, c.Source, c.Numerics, false
	if job.StartedMS == 0 {
		job.StartedMS = t.nowMS
	}
	names := make([]string, len(c.Members))
	for i, m := range c.Members {
		names[i] = m.Worker
	}
	t.event(job, reason, "generation %d starts at step %d with %s: %s", c.Generation, c.StartStep, strings.Join(names, ", "), c.Reason)
	return nil
}

// checkStart tells why a generation cannot start.
func (t *transition) checkStart(job *Job, c Start) error {
	switch {
	case !job.State.Active() && job.State != Waiting:
		return fmt.Errorf("the job is %s: %w", job.State, ErrStale)
	case c.Generation != job.Generation+1:
		return fmt.Errorf("the newest generation is %d: %w", job.Generation, ErrStale)
	case c.Numerics == "" || (job.Numerics != "" && c.Numerics != job.Numerics):
		return fmt.Errorf("numerics %q, the job is pinned to %q: %w", c.Numerics, job.Numerics, ErrInvalid)
	case c.StartStep != job.Newest().Step || c.Source != (Source{URI: job.Newest().URI, Digest: job.Newest().Digest}):
		return fmt.Errorf("it starts from step %d, the newest checkpoint is of step %d: %w", c.StartStep, job.Newest().Step, ErrStale)
	case len(c.Members) < job.Need.WorkersMin || len(c.Members) > min(job.Need.WorkersMax, job.Need.VirtualRanks):
		return fmt.Errorf("%d members, the job wants %d to %d: %w", len(c.Members), job.Need.WorkersMin, job.Need.WorkersMax, ErrInvalid)
	}
	for r, m := range c.Members {
		w := t.next.Workers[m.Worker]
		if w == nil || w.Incarnation != m.Incarnation {
			return fmt.Errorf("worker %q, incarnation %d: %w", m.Worker, m.Incarnation, ErrNoWorker)
		}
		if !job.Need.Selects(w.Labels) {
			return fmt.Errorf("worker %q has labels %v, the job wants %v: %w", m.Worker, w.Labels, job.Need.Selector, ErrInvalid)
		}
		if !slices.Contains(w.Numerics, c.Numerics) {
			return fmt.Errorf("worker %q cannot run %s: %w", m.Worker, c.Numerics, ErrInvalid)
		}
		if other, _ := t.next.Assigned(m.Worker, m.Incarnation); other != nil && other.UID != job.UID {
			return fmt.Errorf("worker %q, job %q: %w", m.Worker, other.Name, ErrBusy)
		}
		if slices.ContainsFunc(c.Members[:r], func(o Member) bool { return o.Worker == m.Worker }) {
			return fmt.Errorf("worker %q is in it twice: %w", m.Worker, ErrInvalid)
		}
		if lo, hi := Ownership(r, len(c.Members), job.Need.VirtualRanks); m.Lo != lo || m.Hi != hi {
			return fmt.Errorf("rank %d owns virtual ranks [%d, %d), expected [%d, %d): %w", r, m.Lo, m.Hi, lo, hi, ErrInvalid)
		}
	}
	return nil
}

func (t *transition) markRunning(c MarkRunning) error {
	job, err := t.current(c.Job, c.Generation)
	if err != nil {
		return err
	}
	t.running(job)
	return nil
}

func (t *transition) running(job *Job) {
	if job.State == Starting {
		t.move(job, Running, "")
		t.event(job, EventRunning, "generation %d runs", job.Generation)
	}
}

func (t *transition) reform(c Reform) error {
	job, err := t.current(c.Job, c.Generation)
	if err != nil {
		return err
	}
	t.reforming(job, c.Reason)
	return nil
}

// reforming asks the current generation to stop at the next step boundary. One that stops anyway has another reason now.
func (t *transition) reforming(job *Job, reason string) {
	if !job.Stopping() {
		t.event(job, EventReforming, "generation %d stops at the next step, with a checkpoint: %s", job.Generation, reason)
	}
	job.Reform = reason
}

func (t *transition) endGeneration(c EndGeneration) error {
	job, err := t.current(c.Job, c.Generation)
	if err != nil {
		return err
	}
	switch c.To {
	case Waiting, Paused:
		t.close(job, c.Final, c.Blameless, c.To == Paused)
		t.move(job, c.To, c.Reason)
		why := c.Reason
		if why == "" {
			why = "as asked"
		}
		reason := EventPaused
		if c.To == Waiting {
			reason = EventSuspended
		}
		t.event(job, reason, "generation %d ends at step %d, the job is %s: %s", c.Generation, job.Committed(), c.To, why)
	case Completed, Failed:
		t.close(job, c.Final, c.Blameless, c.To == Completed)
		t.end(job, c.To, c.Reason)
	default:
		return fmt.Errorf("end generation %d of job %q as %q: %w", c.Generation, job.Name, c.To, ErrInvalid)
	}
	return nil
}

// close notes what is known of the generation that ends, if the job has one.
func (t *transition) close(job *Job, final *Final, blameless, intended bool) {
	if !job.State.Active() {
		return
	}
	job.Reform = ""
	switch {
	case job.Progressed || intended:
		job.Fruitless = 0
	case !blameless:
		job.Fruitless++
	}
	job.Reached = max(job.Reached, job.Committed())
	if final == nil {
		return
	}
	job.Reached = max(job.Reached, final.Step)
	job.Last = final.Figures
	job.Members = slices.Clone(job.Members)
	for i, f := range final.Members[:min(len(final.Members), len(job.Members))] {
		m := &job.Members[i]
		m.Samples, m.RingBytesSent, m.BankBytes, m.Phase, m.Detail = f.Samples, f.RingBytesSent, f.BankBytes, f.Phase, f.Detail
	}
}

// rollback takes back what was committed after step: it will be done again, with the same result.
func rollback(job *Job, step uint64) {
	job.EpochLosses = slices.Clone(job.EpochLosses[:min(len(job.EpochLosses), job.EpochsFinished(step))])
	job.Ledger = job.Ledger.Rollback(step)
	job.Evaluations = slices.DeleteFunc(slices.Clone(job.Evaluations), func(e Evaluation) bool { return e.Step > step })
	job.Exported = ""
}
