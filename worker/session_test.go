package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/task"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

func TestWhichFailuresEndTheJob(t *testing.T) {
	for _, c := range []struct {
		err  error
		ends bool
	}{
		{nil, false},
		{fmt.Errorf("%w: why", errStopped), false},
		{fmt.Errorf("read: %w", context.Canceled), false},
		{fmt.Errorf("step 3: %w", &allreduce.ErrPeerLost{Rank: 1}), false},
		{fmt.Errorf("step 3: %w", allreduce.ErrBroken), false},
		{fmt.Errorf("step 3: %w", allreduce.ErrClosed), false},
		{fmt.Errorf("step 3: %w", allreduce.ErrTransportClosed), false},
		{fmt.Errorf("step 3: %w", allreduce.ErrOutOfStep), true},
		{fmt.Errorf("step 3: %w", task.ErrNotFinite), true},
		{io.ErrUnexpectedEOF, true},
	} {
		got := permanent(c.err)
		if !errors.Is(got, c.err) {
			t.Errorf("%v became %v", c.err, got)
		}
		if errors.As(got, &permanentError{}) != c.ends {
			t.Errorf("%v ends the job: %v, want %v", c.err, !c.ends, c.ends)
		}
	}
}

// testMetrics are the metrics of a worker that nobody asks for.
func testMetrics(t *testing.T) *telemetry.WorkerMetrics {
	t.Helper()
	m, err := telemetry.NewWorkerMetrics(prometheus.NewRegistry(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// testSession is a session of rank 0 that no goroutine runs.
func testSession(t *testing.T) *session {
	t.Helper()
	assignment := &sslctlv1.Assignment{
		JobUid: "7", JobName: "job", Generation: 2, Numerics: "portable/2", Directive: sslctlv1.Directive_DIRECTIVE_RUN,
		Members: []*sslctlv1.Member{{WorkerId: "a"}, {WorkerId: "b"}},
	}
	job := &jobspec.Job{}
	job.Spec.FaultTolerance = jobspec.FaultTolerance{DetectWithin: jobspec.Duration(time.Minute), MaxUncommittedSteps: 4}
	job.Spec.Checkpoint = jobspec.Checkpoint{EverySteps: 100, Keep: 1}
	job.Spec.Training = jobspec.Training{GlobalBatch: 8, VirtualRanks: 2, LedgerEverySteps: 4, MaxSkippedSteps: 1}
	metrics := testMetrics(t)
	return &session{
		agent: &agent{metrics: metrics}, metrics: metrics.Job("7", "job"), assignment: assignment, job: job, report: newReport(assignment, make(chan struct{}, 1)), log: zap.NewNop(),
		cancel: func(error) {}, done: make(chan struct{}),
	}
}

// A session may be in the middle of a step or of an upload when it is told to end. The agent must go on sending heartbeats meanwhile.
func TestTheAgentDoesNotWaitForASessionToEnd(t *testing.T) {
	a := &agent{config: Config{Logger: zap.NewNop()}, metrics: testMetrics(t), kick: make(chan struct{}, 1), newest: map[string]uint64{}}
	old := testSession(t)
	var why error
	old.cancel = func(cause error) { why = cause }
	a.session = old
	other := &sslctlv1.HeartbeatResponse{Assignment: &sslctlv1.Assignment{JobUid: "8", Generation: 1, Directive: sslctlv1.Directive_DIRECTIVE_RUN}}
	follow := func(response *sslctlv1.HeartbeatResponse) {
		t.Helper()
		if err := a.follow(t.Context(), response); err != nil {
			t.Fatal(err)
		}
	}
	follow(other)
	if !errors.Is(why, errStopped) || a.session != old {
		t.Fatalf("the old session got %v, and the agent has %+v", why, a.session)
	}
	// What is told to end is over, even if the coordinators come back to it.
	follow(answered(10))
	if a.session != old {
		t.Fatal("the agent did not wait for the old session's end")
	}
	close(old.done)
	follow(other)
	if a.session == old || a.session.assignment.JobUid != "8" {
		t.Fatal("the next assignment was not begun after the old session's end")
	}
	<-a.session.done // its job file is empty
	follow(&sslctlv1.HeartbeatResponse{})
	if a.session != nil {
		t.Error("a session that has ended is kept without an assignment")
	}
	follow(&sslctlv1.HeartbeatResponse{Assignment: &sslctlv1.Assignment{JobUid: "8", Generation: 1, Directive: sslctlv1.Directive_DIRECTIVE_STOP}})
	if a.session != nil {
		t.Error("a STOP began a session")
	}
}

func TestAnOldGenerationIsIgnored(t *testing.T) {
	a := &agent{config: Config{Logger: zap.NewNop()}, newest: map[string]uint64{"7": 3}}
	if err := a.follow(t.Context(), answered(0)); err != nil || a.session != nil {
		t.Errorf("generation 2 after generation 3: %v, session %v", err, a.session)
	}
}

func TestOneCoordinatorOfSeveralMayNotHoldAHeartbeatForLong(t *testing.T) {
	a := &agent{config: Config{Timeout: 2 * time.Second, Coordinators: []string{"a", "b", "c"}}, every: 125 * time.Millisecond}
	if got := a.patience(); got != 500*time.Millisecond {
		t.Errorf("with three coordinators and detectWithin 1 s, one may take %v", got)
	}
	a.config.Coordinators = a.config.Coordinators[:1]
	if got := a.patience(); got != 2*time.Second {
		t.Errorf("the only coordinator may take %v", got)
	}
}

// The neighbours lose a rank that leaves the ring, and report that. The reason must be there before.
func TestAPermanentFailureIsHeardBeforeTheRingIsLeft(t *testing.T) {
	s := testSession(t)
	s.ring = &ring{}
	kick := make(chan struct{}, 1)
	s.report = newReport(s.assignment, kick)
	s.report.snapshot() // a heartbeat is under way
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.conclude(t.Context(), permanentError{errors.New("disk full")})
	}()
	<-kick
	s.report.acknowledge(answered(10)) // to the heartbeat from before
	select {
	case <-ended:
		t.Fatal("the session went on before the coordinators knew of the failure")
	default:
	}
	m := s.report.snapshot()
	if !m.Failure.GetPermanent() || m.Failure.Message != "disk full" || m.Phase != sslctlv1.Phase_PHASE_FAILED {
		t.Errorf("reported %v", m)
	}
	s.report.acknowledge(answered(10))
	<-ended
}

func TestWhatIsNoReasonToTellOfAFailure(t *testing.T) {
	s := testSession(t)
	s.conclude(t.Context(), nil)
	s.conclude(t.Context(), fmt.Errorf("%w: why", errStopped))
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	s.conclude(stopped, fmt.Errorf("read: %w", context.Canceled))
	if m := s.report.snapshot(); m.Failure != nil {
		t.Errorf("reported %v", m.Failure)
	}
	s.conclude(t.Context(), fmt.Errorf("step 3: %w", &allreduce.ErrPeerLost{Rank: 1}))
	if m := s.report.snapshot(); m.Failure.GetPermanent() || !m.Failure.GetSuspect() || m.Failure.SuspectRank != 1 {
		t.Errorf("reported %v", m.Failure)
	}
}

func TestAPanicIsAFailureOfTheJob(t *testing.T) {
	s := testSession(t)
	err := func() (err error) {
		defer s.recovered(&err)
		panic("a bug")
	}()
	if !errors.As(permanent(err), &permanentError{}) {
		t.Errorf("got %v", err)
	}
}
