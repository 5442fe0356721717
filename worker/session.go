package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/keyed"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// errStopped ends a session that the coordinators or the process no longer want.
var errStopped = errors.New("stopped")

// permanentError is a failure that another generation would meet again, so that the job has to fail.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// permanent marks err, unless it is the end of the session or a failure of the ring, which the next generation cures.
func permanent(err error) error {
	var lost *allreduce.ErrPeerLost
	switch {
	case err == nil, errors.Is(err, errStopped), errors.Is(err, context.Canceled), errors.As(err, &lost),
		errors.Is(err, allreduce.ErrBroken), errors.Is(err, allreduce.ErrClosed), errors.Is(err, allreduce.ErrTransportClosed):
		return err
	}
	return permanentError{err}
}

// session is this worker's part in one generation of one job.
type session struct {
	agent      *agent
	registered *sslctlv1.RegisterResponse // as of the start: where NATS is
	assignment *sslctlv1.Assignment
	job        *jobspec.Job
	key        keyed.Key
	report     *report
	log        *zap.Logger
	metrics    *telemetry.JobMetrics
	ring       *ring // once joined
	cancel     context.CancelCauseFunc
	ending     bool // cancelled; for the agent alone
	done       chan struct{}
}

// startSession begins the assignment in a goroutine of its own; end or stop ends it.
func startSession(ctx context.Context, a *agent, assignment *sslctlv1.Assignment) *session {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &session{
		agent: a, registered: a.registered.Load(), assignment: assignment, report: newReport(assignment, a.kick), cancel: cancel, done: make(chan struct{}),
		log: a.config.Logger.With(telemetry.Job(assignment.JobUid), telemetry.JobName(assignment.JobName),
			telemetry.Generation(assignment.Generation), telemetry.Rank(assignment.Rank)),
		metrics: a.metrics.Job(assignment.JobUid, assignment.JobName),
	}
	go func() {
		defer s.report.ask() // the agent may be waiting for the end
		defer close(s.done)
		defer cancel(errStopped)
		err := s.guarded(ctx)
		s.conclude(ctx, err)
		if s.ring != nil {
			s.ring.close(err == nil)
		}
	}()
	return s
}

// end asks the session to stop, and tells whether it has.
func (s *session) end(why string) bool {
	s.ending = true
	s.cancel(fmt.Errorf("%w: %s", errStopped, why))
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends the session and waits for it.
func (s *session) stop(why string) {
	s.end(why)
	<-s.done
}

// guarded runs the session and turns a panic in it into a failure of the job, so that one job's bug does not take the worker along.
func (s *session) guarded(ctx context.Context) (err error) {
	defer s.recovered(&err)
	return s.run(ctx)
}

// recovered, deferred by every goroutine of the session, turns a panic into an error.
func (s *session) recovered(err *error) {
	if p := recover(); p != nil {
		s.log.Error("panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		*err = permanentError{fmt.Errorf("internal error in rank %d: %v; the worker's log has the stack", s.assignment.Rank, p)}
	}
}

// conclude reports how the session ended. A failure that ends the job is heard before this rank leaves the ring: else the neighbours'
// loss of it might begin the next generation first, and the reason would be forgotten with this one.
func (s *session) conclude(ctx context.Context, err error) {
	if err == nil || errors.Is(err, errStopped) || ctx.Err() != nil { // the last: by the coordinators, or with the process
		outcome := telemetry.GenerationStopped
		if err == nil {
			outcome = telemetry.GenerationFinished
		}
		s.agent.metrics.Generations.WithLabelValues(outcome).Inc()
		s.log.Info("session ended", zap.Error(err))
		return
	}
	failure := &sslctlv1.Failure{Message: err.Error()}
	failure.Permanent = errors.As(err, &permanentError{})
	outcome := telemetry.GenerationFailed
	if failure.Permanent {
		outcome = telemetry.GenerationFailedJob
	}
	s.agent.metrics.Generations.WithLabelValues(outcome).Inc()
	var lost *allreduce.ErrPeerLost
	if errors.As(err, &lost) {
		failure.Suspect, failure.SuspectRank = true, uint32(lost.Rank)
	}
	// The coordinators are told, and they tell whoever waits for the job: no reason to warn here as well.
	s.log.Info("session failed", zap.Bool("permanent", failure.Permanent), zap.Error(err))
	s.report.update(true, func(m *sslctlv1.HeartbeatRequest) {
		m.Phase, m.PhaseDetail, m.Failure = sslctlv1.Phase_PHASE_FAILED, err.Error(), failure
	})
	if failure.Permanent && s.ring != nil {
		bounded, cancel := context.WithTimeout(ctx, s.job.Spec.FaultTolerance.DetectWithin.Std())
		defer cancel()
		if err := s.report.waitHeard(bounded); err != nil {
			s.log.Debug("left the ring before the coordinators answered", zap.Error(err))
		}
	}
}

// on says in an error which member has met it, unless it is this one: the coordinators name that.
func (s *session) on(rank int) string {
	if rank == int(s.assignment.Rank) {
		return ""
	}
	return "on worker " + s.assignment.Members[rank].WorkerId + ": "
}

// run is the whole life of a session: open, join, load, train, finish.
func (s *session) run(ctx context.Context) error {
	job, err := jobspec.Parse(s.assignment.SpecYaml, nil)
	if err != nil {
		return permanentError{fmt.Errorf("read the job file of the assignment: %w", err)}
	}
	s.job, s.key = job, keyed.New(job.Spec.Training.Seed)

	stores, err := openStores(ctx, s)
	if err != nil {
		return permanent(err)
	}
	ring, err := s.join(ctx)
	if err != nil {
		return err
	}
	s.ring = ring

	source, err := openSource(ctx, s, stores, ring)
	if err != nil {
		return permanent(err)
	}
	run, err := newTrainer(ctx, s, stores, source, ring)
	if err != nil {
		return permanent(err)
	}
	if s.assignment.Rank == 0 {
		s.report.update(true, func(m *sslctlv1.HeartbeatRequest) { m.Plan = source.plan(run.Step) })
	}
	return permanent(run.train(ctx))
}
