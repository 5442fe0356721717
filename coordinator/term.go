package coordinator

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
)

// term is what a leader knows and the others do not: what it has heard from the workers since it leads. It is lost with the leadership,
// and the next leader listens anew.
type term struct {
	ctx    context.Context // ends with the term
	end    context.CancelFunc
	kicked chan struct{} // something has happened that may need a decision
	detect time.Duration

	mu      sync.Mutex
	since   time.Time // workers not heard yet count as silent from here
	workers map[string]*heard
	reasons map[uint64]string
}

// heard is what was heard of one worker process.
type heard struct {
	incarnation uint64
	at          time.Time // of the newest heartbeat
	interval    time.Duration
	leaving     bool
	idle        bool           // as of the newest heartbeat
	report      planner.Report // FailureAge is not used
	failedAt    time.Time      // when report.Failure was first heard
	stale       uint64         // heartbeats about generations that are over
}

// newTerm begins a term. Every worker gets detectWithin to find the new leader before its silence begins to count.
func newTerm(ctx context.Context, detect time.Duration, now time.Time) *term {
	t := &term{
		kicked: make(chan struct{}, 1), detect: detect, since: now.Add(detect), workers: map[string]*heard{}, reasons: map[uint64]string{},
	}
	t.ctx, t.end = context.WithCancel(ctx)
	t.kick()
	return t
}

func (t *term) kick() {
	select {
	case t.kicked <- struct{}{}:
	default:
	}
}

// calm takes back a kick, so that what comes next is the ticker.
func (t *term) calm() {
	select {
	case <-t.kicked:
	default:
	}
}

// excuse forgives all workers a silence in which this process itself did not listen.
func (t *term) excuse(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = t.since.Add(late)
	for _, h := range t.workers {
		h.at = h.at.Add(late)
	}
}

// hear notes a heartbeat; the report is nil if the worker is idle or just registers.
func (t *term) hear(worker string, incarnation uint64, now time.Time, leaving bool, report *planner.Report) *heard {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.workers[worker]
	if h == nil || h.incarnation != incarnation {
		h = &heard{incarnation: incarnation, interval: intervalMost}
		t.workers[worker] = h
	}
	if now.After(h.at) {
		h.at = now
	}
	h.leaving, h.idle = leaving, report == nil
	if report != nil {
		same := h.report.Job == report.Job && h.report.Generation == report.Generation
		if !same && h.report.Job == report.Job && h.report.Generation > report.Generation {
			h.stale++ // overtaken by a newer heartbeat
			return h
		}
		if report.Failure != nil && !(same && h.report.Failure != nil) {
			h.failedAt = now
		}
		h.report = *report
	}
	return h
}

// told notes the interval that a worker will keep from now on.
func (t *term) told(worker string, incarnation uint64, interval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.workers[worker]; h != nil && h.incarnation == incarnation {
		h.interval = interval
	}
}

// observe is what the planner may know of the workers in s.
func (t *term) observe(s *state.State, now time.Time) map[string]planner.Observation {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.workers, func(id string, _ *heard) bool { return s.Workers[id] == nil })
	seen := make(map[string]planner.Observation, len(s.Workers))
	for id, w := range s.Workers {
		h := t.workers[id]
		if h == nil || h.incarnation != w.Incarnation {
			seen[id] = planner.Observation{Incarnation: w.Incarnation, Age: max(0, now.Sub(t.since)), Interval: intervalMost}
			continue
		}
		report := h.report
		if report.Failure != nil {
			report.FailureAge = max(0, now.Sub(h.failedAt))
		}
		seen[id] = planner.Observation{
			Incarnation: h.incarnation, Heard: true, Age: max(0, now.Sub(h.at)), Interval: h.interval, Leaving: h.leaving, Idle: h.idle, Report: report,
		}
	}
	return seen
}

// setReasons keeps why jobs wait, and tells whether that has changed.
func (t *term) setReasons(reasons map[uint64]string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if maps.Equal(t.reasons, reasons) {
		return false
	}
	t.reasons = reasons
	return true
}

// reason is why a job waits, if it does.
func (t *term) reason(job uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reasons[job]
}

// The interval between heartbeats is an eighth of the shortest detectWithin, within these bounds.
const (
	intervalLeast = 20 * time.Millisecond
	intervalMost  = 250 * time.Millisecond
)

// interval is what all workers should keep between heartbeats, given the jobs that live.
func interval(s *state.State, cluster time.Duration) time.Duration {
	shortest := cluster
	for _, j := range s.Jobs {
		if !j.State.Ended() {
			shortest = min(shortest, time.Duration(j.Need.DetectWithinMS)*time.Millisecond)
		}
	}
	return min(max(shortest/8, intervalLeast), intervalMost)
}
