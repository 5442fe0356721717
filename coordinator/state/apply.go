package state

import (
	"fmt"
	"maps"
)

// Result is what a command has led to beside the new state.
type Result struct {
	Job    uint64 // UID of the job that the command was about
	Err    error  // why (part of) the command was refused; the state then differs by counters at most
	Events []Event
}

// transition is one Apply under way.
type transition struct {
	next   *State
	nowMS  int64
	result Result
}

// Apply is the state after command c, the one at index of the log. It never fails as a whole: a command that is refused leaves the state
// as it was, but for counters, and says why in Result.Err. The same arguments give the same results on every machine.
func Apply(s *State, index uint64, c Command) (*State, Result) {
	t := &transition{
		next:  &State{Index: index, Jobs: maps.Clone(s.Jobs), Workers: maps.Clone(s.Workers), Cordons: s.Cordons, Events: s.Events},
		nowMS: c.NowMS,
	}
	switch {
	case c.Submit != nil:
		t.result.Err = t.submit(index, *c.Submit)
	case c.Pause != nil:
		t.result.Err = t.pause(*c.Pause)
	case c.Resume != nil:
		t.result.Err = t.resume(*c.Resume)
	case c.Cancel != nil:
		t.result.Err = t.cancel(*c.Cancel)
	case c.Register != nil:
		t.result.Err = t.register(c.Register.Worker)
	case c.Forget != nil:
		t.result.Err = t.forget(*c.Forget)
	case c.Cordon != nil:
		t.result.Err = t.cordon(*c.Cordon)
	case c.Uncordon != nil:
		t.result.Err = t.uncordon(*c.Uncordon)
	case c.Reform != nil:
		t.result.Err = t.reform(*c.Reform)
	case c.Scale != nil:
		t.result.Err = t.scale(*c.Scale)
	case c.Delete != nil:
		t.result.Err = t.delete(*c.Delete)
	case c.Lose != nil:
		t.result.Err = t.lose(*c.Lose)
	case c.Find != nil:
		t.result.Err = t.find(*c.Find)
	case c.Wait != nil:
		t.result.Err = t.wait(*c.Wait)
	case c.Start != nil:
		t.result.Err = t.start(*c.Start)
	case c.MarkRunning != nil:
		t.result.Err = t.markRunning(*c.MarkRunning)
	case c.EndGeneration != nil:
		t.result.Err = t.endGeneration(*c.EndGeneration)
	case c.Progress != nil:
		t.result.Err = t.progress(*c.Progress)
	default:
		t.result.Err = fmt.Errorf("apply command %d: it holds nothing: %w", index, ErrInvalid)
	}
	t.drained(s)
	return t.next, t.result
}

// edit is a copy of a job that may be changed, already part of the next state. Its slices and maps are still shared: replace them.
func (t *transition) edit(uid uint64) (*Job, error) {
	old, ok := t.next.Jobs[uid]
	if !ok {
		return nil, fmt.Errorf("job %d: %w", uid, ErrNoJob)
	}
	job := *old
	t.next.Jobs[uid] = &job
	t.result.Job = uid
	return &job, nil
}

// current is edit, for a job whose current generation is the given one.
func (t *transition) current(uid, generation uint64) (*Job, error) {
	old, ok := t.next.Jobs[uid]
	if !ok {
		return nil, fmt.Errorf("job %d: %w", uid, ErrNoJob)
	}
	if !old.State.Active() || old.Generation != generation {
		return nil, fmt.Errorf("job %d is %s, its newest generation is %d, the command is about generation %d: %w",
			uid, old.State, old.Generation, generation, ErrStale)
	}
	return t.edit(uid)
}
