package worker

import (
	"testing"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// What a store lets the session wait for stands over what the session says until the next attempt has had its time, and never over a failure.
func TestReportSaysWhatIsWaitedFor(t *testing.T) {
	r := newReport(&sslctlv1.Assignment{JobUid: "7", Generation: 1}, make(chan struct{}, 1))
	r.phase(sslctlv1.Phase_PHASE_READY, "indexing the data")
	r.wait("trying again: the store is away", time.Minute)
	if m := r.snapshot(); m.Phase != sslctlv1.Phase_PHASE_READY || m.PhaseDetail != "trying again: the store is away" {
		t.Errorf("while it waits it says %v %q", m.Phase, m.PhaseDetail)
	}
	r.wait("trying again: the store is away", -attemptWithin-time.Second)
	if m := r.snapshot(); m.PhaseDetail != "indexing the data" {
		t.Errorf("long after the last attempt it says %q", m.PhaseDetail)
	}
	r.wait("trying again: the store is away", time.Minute)
	r.update(true, func(m *sslctlv1.HeartbeatRequest) { m.Failure, m.PhaseDetail = &sslctlv1.Failure{}, "the disk is full" })
	if m := r.snapshot(); m.PhaseDetail != "the disk is full" {
		t.Errorf("after its failure it says %q", m.PhaseDetail)
	}
}
