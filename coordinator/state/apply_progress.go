package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// progress applies what rank 0 has done. Parts that are known already are passed over; a part that cannot be accepted yet (a checkpoint
// of a step beyond the ledger) is left out, and rank 0 repeats it until it is acknowledged.
func (t *transition) progress(c Progress) error {
	job, err := t.current(c.Job, c.Generation)
	if err == nil && (job.Members[0].Worker != c.Worker || job.Members[0].Incarnation != c.Incarnation) {
		err = fmt.Errorf("worker %q, incarnation %d, is not rank 0 of generation %d of job %q: %w", c.Worker, c.Incarnation, c.Generation, job.Name, ErrStale)
	}
	if errors.Is(err, ErrStale) {
		stale, _ := t.edit(c.Job)
		stale.Rejected.Stale++
		return err
	}
	if err != nil {
		return err
	}
	if c.Plan != nil {
		if job.Plan != nil && *job.Plan != *c.Plan {
			t.close(job, nil, false, true)
			t.end(job, Failed, fmt.Sprintf("the data set has changed: it gave %d samples an epoch and %d steps, now %d and %d; restore it and submit again",
				job.Plan.SamplesPerEpoch, job.Plan.StepsTotal, c.Plan.SamplesPerEpoch, c.Plan.StepsTotal))
			return fmt.Errorf("job %q: %w", job.Name, ErrPlanChanged)
		}
		if job.Plan == nil {
			t.event(job, EventIndexed, "the data set has %d samples an epoch, the job %d steps", c.Plan.SamplesPerEpoch, c.Plan.StepsTotal)
		}
		job.Plan, job.PlanGeneration, job.Shards = c.Plan, c.Generation, c.Shards
	}
	refused := t.commit(job, c.Ledger)
	t.addCheckpoints(job, c.Checkpoints, c.Removed)
	for _, e := range c.Evaluations {
		t.addEvaluation(job, e)
	}
	if len(c.EpochLosses) > len(job.EpochLosses) {
		job.EpochLosses = slices.Clone(c.EpochLosses)
	}
	t.addCorrupt(job, c.Corrupt)
	if c.Exported != "" && c.Exported != job.Exported {
		job.Exported = c.Exported
		t.event(job, EventExported, "the encoder is at %s", c.Exported)
	}
	return refused
}

// commit appends what is new. It stops at the first entry that is refused.
func (t *transition) commit(job *Job, entries []Entry) error {
	for _, e := range entries {
		if e.Generation != job.Generation {
			job.Rejected.Stale++
			return fmt.Errorf("job %q, ledger entry (%d, %d] of generation %d, the current one is %d: %w", job.Name, e.First, e.Last, e.Generation, job.Generation, ErrStale)
		}
		if e.Last <= job.Committed() {
			if known, ok := job.Ledger.Find(e.Last); ok && e.Last > job.StartStep && known.Digest != e.Digest {
				job.Rejected.Contradicting++
				return fmt.Errorf("job %q, step %d: digest %q, committed is %q: %w", job.Name, e.Last, e.Digest, known.Digest, ErrContradiction)
			}
			continue
		}
		next, err := job.Ledger.Append(e)
		if err == nil && job.Plan != nil && e.Last > job.Plan.StepsTotal {
			err = fmt.Errorf("the job has %d steps: %w", job.Plan.StepsTotal, ErrNotContiguous)
		}
		if err != nil {
			job.Rejected.NotContiguous++
			return fmt.Errorf("job %q, ledger entry (%d, %d], committed is step %d: %w", job.Name, e.First, e.Last, job.Committed(), err)
		}
		job.Ledger, job.Progressed, job.Fruitless = next, true, 0
		t.running(job)
	}
	return nil
}

// addCheckpoints adds those within the committed steps, in step order, and drops removed ones; the newest always stays.
func (t *transition) addCheckpoints(job *Job, added []Checkpoint, removed []string) {
	list := slices.Clone(job.Checkpoints)
	for _, c := range added {
		if c.URI != "" && c.Step <= job.Committed() && (len(list) == 0 || c.Step > list[len(list)-1].Step) {
			list = append(list, c)
			t.event(job, EventCheckpoint, "checkpoint of step %d: %s", c.Step, c.URI)
		}
	}
	for _, uri := range removed {
		if at := slices.IndexFunc(list, func(c Checkpoint) bool { return c.URI == uri }); at >= 0 && at < len(list)-1 {
			list = slices.Delete(list, at, at+1)
		}
	}
	job.Checkpoints = list
}

// corruptTold is how many corrupt samples of one report have an event of their own: a data set may be full of them.
const corruptTold = 20

// addCorrupt adds the samples that are not known yet.
func (t *transition) addCorrupt(job *Job, samples []string) {
	list, added := slices.Clone(job.Corrupt), 0
	for _, sample := range samples {
		at, known := slices.BinarySearch(list, sample)
		if known {
			continue
		}
		list = slices.Insert(list, at, sample)
		if added++; added <= corruptTold {
			t.event(job, EventCorrupt, "a sample that cannot be decoded was replaced: %s", sample)
		}
	}
	job.Corrupt = list
	if added > corruptTold {
		t.event(job, EventCorrupt, "%d more samples that cannot be decoded were replaced; sslctl audit %s names them", added-corruptTold, job.Name)
	}
}

// addEvaluation puts e in step order; values of a step that is there already are added to it, those known stay.
func (t *transition) addEvaluation(job *Job, e Evaluation) {
	if e.Step > job.Committed() {
		return
	}
	list := slices.Clone(job.Evaluations)
	at, known := slices.BinarySearchFunc(list, e.Step, func(a Evaluation, step uint64) int {
		switch {
		case a.Step < step:
			return -1
		case a.Step > step:
			return 1
		}
		return 0
	})
	if !known {
		job.Evaluations = slices.Insert(list, at, e)
		t.event(job, EventEvaluated, "evaluated at step %d%s", e.Step, e.summary())
		return
	}
	values := maps.Clone(e.Values)
	maps.Copy(values, list[at].Values)
	list[at].Values = values
	job.Evaluations = list
}
