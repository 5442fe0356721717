package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/allreduce"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// joinPatience is how many times detectWithin the ranks of a new generation wait for each other. It covers heartbeats that carry the
// assignment to each of them and the opening of their stores; who is dead by then, the coordinators have noticed long before.
const joinPatience = 15

// ring is this rank's place among the workers of a generation.
type ring struct {
	group *allreduce.Group
	meter *meter
	// close leaves the ring: in order, once the neighbours have all that was sent to them, or at once when the generation has failed.
	close func(inOrder bool)
}

// bucketElements is how many elements of a gradient are agreed on at once.
func bucketElements(job *jobspec.Job) int { return int(job.Spec.Sync.BucketBytes) / 4 }

// join connects to NATS and meets the other ranks.
func (s *session) join(ctx context.Context) (*ring, error) {
	a := s.assignment
	within := s.job.Spec.FaultTolerance.DetectWithin.Std()
	if int(a.Rank) >= len(a.Members) {
		return nil, permanentError{fmt.Errorf("join generation %d: rank %d of %d members", a.Generation, a.Rank, len(a.Members))}
	}
	starts := make([]int, 0, len(a.Members)+1)
	for _, m := range a.Members {
		starts = append(starts, int(m.VirtualRankLo))
	}
	starts = append(starts, s.job.Spec.Training.VirtualRanks)

	bounded, cancel := context.WithTimeoutCause(ctx, joinPatience*within, fmt.Errorf("the other ranks did not come within %v", joinPatience*within))
	defer cancel()
	s.report.phase(sslctlv1.Phase_PHASE_PREPARING, "connecting to NATS")
	conn, err := bus.Connect(bounded, s.agent.natsURLs(s.registered), s.agent.config.ID, s.log, func(err error) {
		s.report.phase(sslctlv1.Phase_PHASE_PREPARING, fmt.Sprintf("trying again: %v", err))
	})
	if err != nil {
		return nil, fmt.Errorf("join generation %d: %w", a.Generation, err)
	}
	s.agent.knowNATS(conn.Servers())
	disconnect := func() {
		if err := bus.Close(conn, within); err != nil {
			s.log.Debug("closed the connection to NATS", zap.Error(err))
		}
	}
	config := allreduce.Config{
		Rank: int(a.Rank), World: len(a.Members), VirtualRanks: s.job.Spec.Training.VirtualRanks, Starts: starts,
		JobUID: a.JobUid, Generation: a.Generation, BucketElements: bucketElements(s.job), DetectWithin: within,
		Wire: allreduce.Wire(s.job.Spec.Sync.Wire), Seed: s.job.Spec.Training.Seed,
	}
	transport, shutdown := s.transport(config, conn)
	group, err := allreduce.NewGroup(config, transport)
	if err != nil {
		if err := transport.Close(); err != nil {
			s.log.Debug("closed the transport", zap.Error(err))
		}
		shutdown()
		disconnect()
		return nil, permanentError{fmt.Errorf("join generation %d: %w", a.Generation, err)}
	}
	r := &ring{group: group, meter: &meter{of: s.metrics}}
	r.close = func(inOrder bool) {
		leave := group.Abort
		if inOrder {
			leave = group.Close
		}
		if err := leave(); err != nil {
			s.log.Debug("closed the ring", zap.Error(err))
		}
		r.meter.count(group.Stats())
		shutdown()
		disconnect()
	}
	s.report.phase(sslctlv1.Phase_PHASE_PREPARING, waitsForRanks(len(a.Members)-1))
	start := time.Now()
	if err := group.Join(bounded); err != nil {
		r.close(false)
		if ctx.Err() == nil && bounded.Err() != nil {
			err = errors.Join(context.Cause(bounded), err)
		}
		return nil, fmt.Errorf("join generation %d: %w", a.Generation, err)
	}
	s.log.Info("joined the ring", zap.Int("ranks", len(a.Members)), zap.Duration("after", time.Since(start)))
	s.report.phase(sslctlv1.Phase_PHASE_READY, "opening the data")
	return r, nil
}

// waitsForRanks says that a ring waits for its n other ranks.
func waitsForRanks(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "waiting for the other rank"
	}
	return fmt.Sprintf("waiting for the other %d ranks", n)
}
