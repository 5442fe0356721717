package state

import (
	"fmt"
	"maps"
	"slices"
)

// replacedKept is how many replaced incarnations of a worker are remembered, so that a process that wakes up late is told that its
// place is taken instead of taking it back.
const replacedKept = 8

func (t *transition) register(w Worker) error {
	if w.ID == "" || len(w.Numerics) == 0 {
		return fmt.Errorf("register worker %q with numerics %v: both are needed: %w", w.ID, w.Numerics, ErrInvalid)
	}
	w.RegisteredMS, w.LostMS, w.Replaced = t.nowMS, 0, nil
	old, known := t.next.Workers[w.ID]
	switch {
	case !known:
		t.worker(w.ID, EventRegistered, "registered with incarnation %d", w.Incarnation)
	case old.Incarnation == w.Incarnation:
		w.RegisteredMS, w.LostMS, w.Replaced = old.RegisteredMS, old.LostMS, old.Replaced
	case slices.Contains(old.Replaced, w.Incarnation):
		return fmt.Errorf("register worker %q, incarnation %d: incarnation %d has its place: %w", w.ID, w.Incarnation, old.Incarnation, ErrReplaced)
	default:
		w.Replaced = append(slices.Clone(old.Replaced), old.Incarnation)
		w.Replaced = w.Replaced[max(0, len(w.Replaced)-replacedKept):]
		t.worker(w.ID, EventReplaced, "incarnation %d replaces %d", w.Incarnation, old.Incarnation)
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
	t.worker(c.ID, EventForgotten, "forgotten")
	return nil
}

// process is a worker process that may be changed.
func (t *transition) process(verb, id string, incarnation uint64) (*Worker, error) {
	old, known := t.next.Workers[id]
	if !known || old.Incarnation != incarnation {
		return nil, fmt.Errorf("%s worker %q, incarnation %d: %w", verb, id, incarnation, ErrNoWorker)
	}
	w := *old
	t.next.Workers[id] = &w
	return &w, nil
}

func (t *transition) lose(c Lose) error {
	w, err := t.process("lose", c.ID, c.Incarnation)
	if err == nil && w.LostMS == 0 {
		w.LostMS = t.nowMS
		t.worker(c.ID, EventLost, "lost: %s", c.Why)
	}
	return err
}

func (t *transition) find(c Find) error {
	w, err := t.process("find", c.ID, c.Incarnation)
	if err == nil && w.LostMS != 0 {
		w.LostMS = 0
		t.worker(c.ID, EventFound, "heard again")
	}
	return err
}

// drained notes which draining workers had a job in the state before and have none now.
func (t *transition) drained(before *State) {
	for _, id := range slices.Sorted(maps.Keys(t.next.Cordons)) {
		if t.next.Cordons[id].Drain && before.busy(id) && !t.next.busy(id) {
			t.worker(id, EventDrained, "drained: no job has it any more")
		}
	}
}

// busy tells whether a job has the worker of an id.
func (s *State) busy(id string) bool {
	w := s.Workers[id]
	if w == nil {
		return false
	}
	job, _ := s.Assigned(id, w.Incarnation)
	return job != nil
}

// cordon keeps a worker id from new work. What is asked twice is done once; a drain is not weakened.
func (t *transition) cordon(c Cordoning) error {
	old, cordoned := t.next.Cordons[c.Worker]
	if t.next.Workers[c.Worker] == nil && !cordoned {
		return fmt.Errorf("cordon worker %q: %w", c.Worker, ErrNoWorker)
	}
	if cordoned && (old.Drain || !c.Drain) {
		return nil
	}
	t.setCordon(c.Worker, &Cordon{Drain: c.Drain, SinceMS: t.nowMS})
	switch {
	case c.Drain && t.next.busy(c.Worker):
		t.worker(c.Worker, EventDraining, "draining: no new work, and its job goes on without it")
		return nil
	case c.Drain:
		t.worker(c.Worker, EventDrained, "drained: no new work, and it has no job")
		return nil
	}
	t.worker(c.Worker, EventCordoned, "cordoned: no new work")
	return nil
}

func (t *transition) uncordon(c Uncordon) error {
	_, cordoned := t.next.Cordons[c.Worker]
	if t.next.Workers[c.Worker] == nil && !cordoned {
		return fmt.Errorf("uncordon worker %q: %w", c.Worker, ErrNoWorker)
	}
	if cordoned {
		t.setCordon(c.Worker, nil)
		t.worker(c.Worker, EventUncordoned, "takes work again")
	}
	return nil
}

// setCordon sets a worker's cordon, or takes it away.
func (t *transition) setCordon(worker string, c *Cordon) {
	next := map[string]Cordon{}
	maps.Copy(next, t.next.Cordons)
	if c != nil {
		next[worker] = *c
	} else {
		delete(next, worker)
	}
	t.next.Cordons = next
}
