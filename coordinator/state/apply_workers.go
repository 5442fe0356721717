package state

import (
	"fmt"
	"slices"
)

// replacedKept is how many replaced incarnations of a worker are remembered, so that a process that wakes up late is told that its
// place is taken instead of taking it back.
const replacedKept = 8

func (t *transition) register(w Worker) error {
	if w.ID == "" || len(w.Numerics) == 0 {
		return fmt.Errorf("register worker %q with numerics %v: both are needed: %w", w.ID, w.Numerics, ErrInvalid)
	}
	w.RegisteredMS, w.Replaced = t.nowMS, nil
	old, known := t.next.Workers[w.ID]
	switch {
	case !known:
		t.worker(w.ID, "registered with incarnation %d", w.Incarnation)
	case old.Incarnation == w.Incarnation:
		w.RegisteredMS, w.Replaced = old.RegisteredMS, old.Replaced
	case slices.Contains(old.Replaced, w.Incarnation):
		return fmt.Errorf("register worker %q, incarnation %d: incarnation %d has its place: %w", w.ID, w.Incarnation, old.Incarnation, ErrReplaced)
	default:
		w.Replaced = append(slices.Clone(old.Replaced), old.Incarnation)
		w.Replaced = w.Replaced[max(0, len(w.Replaced)-replacedKept):]
		t.worker(w.ID, "incarnation %d replaces %d", w.Incarnation, old.Incarnation)
	}
	t.next.Workers[w.ID] = &w
	return nil
}

func (t *transition) forget(c Forget) error {
	old, known := t.next.Workers[c.ID]
	if !known || old.Incarnation != c.Incarnation {
		return fmt.Errorf("forget worker %q, incarnation %d: %w", c.ID, c.Incarnation, ErrNoWorker)
	}
	if job, _ := t.next.Assigned(c.ID, c.Incarnation); job != nil {
		return fmt.Errorf("forget worker %q: job %d: %w", c.ID, job.UID, ErrBusy)
	}
	delete(t.next.Workers, c.ID)
	t.worker(c.ID, "forgotten")
	return nil
}

func (t *transition) worker(id, format string, args ...any) {
	t.result.Events = append(t.result.Events, Event{Worker: id, Text: fmt.Sprintf(format, args...)})
}
