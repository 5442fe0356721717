package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"google.golang.org/protobuf/proto"
)

// report is what a session has to tell the coordinators. The session writes it, heartbeats carry it; what must not be lost stays in it
// until the coordinators acknowledge that a majority holds it.
type report struct {
	mu        sync.Mutex
	message   *sslctlv1.HeartbeatRequest
	committed uint64        // ledger entries up to this step are committed
	stored    committedStep // newest checkpoint that is committed: what the next generation would start from
	sent      sent          // what the last snapshot held
	heard     bool          // the coordinators have answered a report of the failure
	changed   chan struct{} // closed and replaced at every answer
	directive sslctlv1.Directive
	waits     string          // what a store lets the session wait for
	waitsTill time.Time       // nothing any more from then on
	kick      chan<- struct{} // asks for a heartbeat at once
}

// committedStep is a step, if there is one.
type committedStep struct {
	step  uint64
	known bool
}

// sent is what a heartbeat carried of that which no figure in the answer acknowledges: the answer itself does.
type sent struct {
	plan    bool
	removed int
	corrupt int
	failure bool
}

func newReport(a *sslctlv1.Assignment, kick chan<- struct{}) *report {
	return &report{
		message: &sslctlv1.HeartbeatRequest{
			JobUid: a.JobUid, Generation: a.Generation, Phase: sslctlv1.Phase_PHASE_PREPARING, Step: a.StartStep,
			EpochLosses: a.EpochLosses,
		},
		committed: a.StartStep, stored: committedStep{a.StartStep, a.Source != ""}, changed: make(chan struct{}), directive: a.Directive, kick: kick,
	}
}

// update changes the report and asks for a heartbeat if urgent.
func (r *report) update(urgent bool, f func(*sslctlv1.HeartbeatRequest)) {
	r.mu.Lock()
	f(r.message)
	r.mu.Unlock()
	if urgent {
		r.ask()
	}
}

// ask asks for a heartbeat at once.
func (r *report) ask() {
	select {
	case r.kick <- struct{}{}:
	default: // one is asked for already
	}
}

func (r *report) phase(p sslctlv1.Phase, detail string) {
	r.update(true, func(m *sslctlv1.HeartbeatRequest) { m.Phase, m.PhaseDetail = p, detail })
}

// attemptWithin is how long an attempt to reach a store may take before its failure is reported, so that the report does not lapse.
const attemptWithin = 6 * time.Second

// wait reports that something is waited for, over what the session does otherwise, until the next attempt has had time to fail. Nobody
// tells when one succeeds.
func (r *report) wait(what string, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits, r.waitsTill = what, time.Now().Add(next+attemptWithin)
}

// snapshot copies the report for one heartbeat.
func (r *report) snapshot() *sslctlv1.HeartbeatRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = sent{plan: r.message.Plan != nil, removed: len(r.message.RemovedCheckpoints), corrupt: len(r.message.CorruptSamples), failure: r.message.Failure != nil}
	m := proto.Clone(r.message).(*sslctlv1.HeartbeatRequest)
	if m.Failure == nil && time.Now().Before(r.waitsTill) {
		m.PhaseDetail = r.waits
	}
	return m
}

// acknowledge drops what the response to the last snapshot says is committed and takes over the directive.
func (r *report) acknowledge(response *sslctlv1.HeartbeatResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.message
	m.Ledger = slices.DeleteFunc(m.Ledger, func(e *sslctlv1.LedgerEntry) bool { return e.LastStep <= response.AcknowledgedStep })
	if response.HasEvaluation {
		m.Evaluations = slices.DeleteFunc(m.Evaluations, func(e *sslctlv1.Evaluation) bool { return e.Step <= response.AcknowledgedEvaluationStep })
	}
	if response.HasCheckpoint {
		m.Checkpoints = slices.DeleteFunc(m.Checkpoints, func(c *sslctlv1.Checkpoint) bool { return c.Step <= response.AcknowledgedCheckpointStep })
	}
	if r.sent.plan {
		m.Plan = nil
	}
	m.RemovedCheckpoints = m.RemovedCheckpoints[r.sent.removed:]
	m.CorruptSamples = m.CorruptSamples[r.sent.corrupt:]
	if response.HasCheckpoint {
		r.stored = committedStep{max(r.stored.step, response.AcknowledgedCheckpointStep), true}
	}
	r.heard = r.heard || r.sent.failure
	r.sent = sent{}
	r.committed = max(r.committed, response.AcknowledgedStep)
	r.directive = response.Assignment.GetDirective()
	close(r.changed)
	r.changed = make(chan struct{})
}

// pauseRequested tells whether the coordinators want the job paused.
func (r *report) pauseRequested() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.directive == sslctlv1.Directive_DIRECTIVE_PAUSE
}

// checkpointCommitted is the newest checkpoint that the coordinators have committed.
func (r *report) checkpointCommitted() committedStep {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored
}

// waitCheckpoint returns once the checkpoint of a step is committed.
func (r *report) waitCheckpoint(ctx context.Context, step uint64) error {
	return r.await(ctx, func() bool { return r.stored.known && r.stored.step >= step }, nil)
}

// waitHeard returns once the coordinators know of the failure.
func (r *report) waitHeard(ctx context.Context) error {
	return r.await(ctx, func() bool { return r.heard }, nil)
}

// waitCommitted returns once steps up to step are committed. It calls waiting first if it has to wait at all, and reports the time waited.
func (r *report) waitCommitted(ctx context.Context, step uint64, waiting func()) (time.Duration, error) {
	var start time.Time
	err := r.await(ctx, func() bool { return r.committed >= step }, func() {
		start = time.Now()
		waiting()
	})
	if start.IsZero() {
		return 0, err
	}
	return time.Since(start), err
}

// await returns once done is true after an answer of the coordinators; done is called with the lock held. It calls waiting, unless that is nil,
// before it waits.
func (r *report) await(ctx context.Context, done func() bool, waiting func()) error {
	for {
		r.mu.Lock()
		ok, changed := done(), r.changed
		r.mu.Unlock()
		if ok {
			return nil
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
