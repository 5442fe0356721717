package worker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func testReport() *report {
	return newReport(&sslctlv1.Assignment{JobUid: "7", Generation: 2, StartStep: 10}, make(chan struct{}, 1))
}

// answered is an answer to the last snapshot.
func answered(step uint64) *sslctlv1.HeartbeatResponse {
	return &sslctlv1.HeartbeatResponse{Assignment: &sslctlv1.Assignment{JobUid: "7", Generation: 2, Directive: sslctlv1.Directive_DIRECTIVE_RUN}, AcknowledgedStep: step}
}

func TestWhatIsNotAcknowledgedIsReportedAgain(t *testing.T) {
	r := testReport()
	r.update(false, func(m *sslctlv1.HeartbeatRequest) {
		m.Plan = &sslctlv1.Plan{StepsTotal: 40}
		m.RemovedCheckpoints, m.CorruptSamples = []string{"a"}, []string{"x", "y"}
		for _, step := range []uint64{14, 18, 22} {
			m.Ledger = append(m.Ledger, &sslctlv1.LedgerEntry{LastStep: step})
			m.Checkpoints = append(m.Checkpoints, &sslctlv1.Checkpoint{Step: step})
			m.Evaluations = append(m.Evaluations, &sslctlv1.Evaluation{Step: step})
		}
	})
	lost := r.snapshot() // no answer comes
	if again := r.snapshot(); len(again.Ledger) != 3 || again.Plan == nil || !slices.Equal(again.RemovedCheckpoints, lost.RemovedCheckpoints) {
		t.Fatalf("without an answer, the next report is %v", again)
	}
	r.update(false, func(m *sslctlv1.HeartbeatRequest) {
		m.RemovedCheckpoints, m.CorruptSamples = append(m.RemovedCheckpoints, "b"), append(m.CorruptSamples, "z")
	})
	r.acknowledge(answered(18))
	m := r.snapshot()
	if len(m.Ledger) != 1 || m.Ledger[0].LastStep != 22 || len(m.Checkpoints) != 3 || len(m.Evaluations) != 3 {
		t.Errorf("with step 18 acknowledged, the report is %v", m)
	}
	if m.Plan != nil || !slices.Equal(m.RemovedCheckpoints, []string{"b"}) || !slices.Equal(m.CorruptSamples, []string{"z"}) {
		t.Errorf("what the answered report held is sent again: plan %v, removed %v, corrupt %v", m.Plan, m.RemovedCheckpoints, m.CorruptSamples)
	}
	if c := r.checkpointCommitted(); c.known {
		t.Errorf("checkpoint %d counts as committed", c.step)
	}
	answer := answered(22)
	answer.HasCheckpoint, answer.AcknowledgedCheckpointStep = true, 18
	answer.HasEvaluation, answer.AcknowledgedEvaluationStep = true, 14
	r.acknowledge(answer)
	if m := r.snapshot(); len(m.Ledger) != 0 || len(m.Checkpoints) != 1 || len(m.Evaluations) != 2 || len(m.RemovedCheckpoints) != 0 {
		t.Errorf("the report is %v", m)
	}
	if c := r.checkpointCommitted(); !c.known || c.step != 18 {
		t.Errorf("the newest committed checkpoint is %+v, want 18", c)
	}
}

func TestTheSourceIsACommittedCheckpoint(t *testing.T) {
	r := newReport(&sslctlv1.Assignment{StartStep: 30, Source: "s3://x/step-30"}, make(chan struct{}, 1))
	if c := r.checkpointCommitted(); !c.known || c.step != 30 {
		t.Errorf("%+v, want step 30", c)
	}
}

func TestWaitingForTheCommit(t *testing.T) {
	r := testReport()
	if waited, err := r.waitCommitted(t.Context(), 10, func() { t.Error("waits for a step that is committed") }); waited != 0 || err != nil {
		t.Errorf("waited %v, %v", waited, err)
	}
	// The answer comes while it waits: waiting is called after the first look.
	if _, err := r.waitCommitted(t.Context(), 14, func() { r.acknowledge(answered(14)) }); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := r.waitCommitted(ctx, 15, func() { cancel(errStopped) }); !errors.Is(err, errStopped) {
		t.Errorf("the end of the session gave %v", err)
	}
	if err := r.waitCheckpoint(ctx, 14); !errors.Is(err, errStopped) {
		t.Errorf("a checkpoint that was never reported gave %v", err)
	}
}

func TestAPauseIsSeen(t *testing.T) {
	r := testReport()
	if r.pauseRequested() {
		t.Error("a new session is paused")
	}
	answer := answered(10)
	answer.Assignment.Directive = sslctlv1.Directive_DIRECTIVE_PAUSE
	r.acknowledge(answer)
	if !r.pauseRequested() {
		t.Error("the directive was not taken over")
	}
}

func TestUrgentNewsAskForOneHeartbeat(t *testing.T) {
	kick := make(chan struct{}, 1)
	r := newReport(&sslctlv1.Assignment{}, kick)
	r.update(false, func(*sslctlv1.HeartbeatRequest) {})
	if len(kick) != 0 {
		t.Error("news without hurry ask for a heartbeat")
	}
	r.phase(sslctlv1.Phase_PHASE_READY, "")
	r.phase(sslctlv1.Phase_PHASE_RUNNING, "") // must not block
	if len(kick) != 1 {
		t.Error("urgent news do not ask for a heartbeat")
	}
}

func TestRate(t *testing.T) {
	var r rate
	r.start(100)
	r.observe(101)
	if r.stepsPerSecond() != 0 || r.step != 100 {
		t.Error("a moment is taken for a measurement")
	}
	r.at = r.at.Add(-2 * time.Second)
	r.observe(108)
	if got := r.stepsPerSecond(); got < 3 || got > 4 {
		t.Errorf("8 steps in 2 s are %v a second", got)
	}
	r.at = r.at.Add(-10 * time.Second)
	r.observe(118)
	if got := r.stepsPerSecond(); got < 2.5 || got > 3.3 {
		t.Errorf("after 1 step a second the mean is %v, want 0.7·4 + 0.3·1", got)
	}
}
