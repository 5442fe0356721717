package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/telemetry"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// workerService answers workers, on the leader.
type workerService struct{ n *Node }

// Register commits a worker process.
func (a *workerService) Register(_ context.Context, req *connect.Request[pb.RegisterRequest]) (*connect.Response[pb.RegisterResponse], error) {
	n, m := a.n, req.Msg
	t := n.term.Load()
	if t == nil {
		return nil, errTurned
	}
	result, err := n.apply(state.Command{Register: &state.Register{Worker: state.Worker{
		ID: m.WorkerId, Incarnation: m.Incarnation, Numerics: m.Numerics, Labels: m.Labels, Version: m.Version, Cores: int(m.Cores), Host: m.Host,
	}}})
	if err != nil {
		return nil, uncommitted(err)
	}
	if result.Err != nil {
		return nil, refused(result.Err)
	}
	every := interval(n.fsm.state.Load(), n.cfg.DetectWithin)
	t.hear(m.WorkerId, m.Incarnation, time.Now(), false, nil)
	t.told(m.WorkerId, m.Incarnation, every)
	t.kick()
	return connect.NewResponse(&pb.RegisterResponse{
		NatsUrls: n.cfg.NATSURLs(), Cluster: n.cfg.Cluster, HeartbeatMs: uint32(every.Milliseconds()),
	}), nil
}

// Heartbeat notes what a worker reports, commits what must last, and answers what to do.
func (a *workerService) Heartbeat(_ context.Context, req *connect.Request[pb.HeartbeatRequest]) (*connect.Response[pb.HeartbeatResponse], error) {
	res, kind, err := a.heartbeat(req.Msg)
	a.n.metrics.Heartbeats.WithLabelValues(kind).Inc()
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

// heartbeat also tells what kind of heartbeat it was, for the metrics.
func (a *workerService) heartbeat(m *pb.HeartbeatRequest) (res *pb.HeartbeatResponse, kind string, err error) {
	n := a.n
	t := n.term.Load()
	if t == nil {
		return nil, telemetry.HeartbeatRefused, errTurned
	}
	w := n.fsm.state.Load().Workers[m.WorkerId]
	switch {
	case w != nil && slices.Contains(w.Replaced, m.Incarnation):
		return nil, telemetry.HeartbeatRefused, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(
			"worker %s: a process on host %s that came later has taken its id; end one of the two, or give each an --id of its own",
			m.WorkerId, w.Host))
	case w == nil || w.Incarnation != m.Incarnation:
		return &pb.HeartbeatResponse{RegisterAgain: true}, telemetry.HeartbeatUnknown, nil
	}
	var uid uint64
	if m.JobUid != "" {
		var err error
		if uid, err = strconv.ParseUint(m.JobUid, 10, 64); err != nil {
			return nil, telemetry.HeartbeatRefused, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("worker %s reports on job %q, which is no uid: %w", m.WorkerId, m.JobUid, err))
		}
	}
	t.hear(m.WorkerId, m.Incarnation, time.Now(), m.Leaving, report(m, uid))
	if c := news(n.fsm.state.Load(), m, uid); c != nil {
		result, err := n.apply(state.Command{Progress: c})
		if err != nil {
			return nil, telemetry.HeartbeatRefused, uncommitted(err)
		}
		if result.Err != nil && !errors.Is(result.Err, state.ErrStale) {
			n.log.Warn("refused a part of a worker's report", telemetry.Worker(m.WorkerId), telemetry.Job(m.JobUid), zap.Error(result.Err))
		}
	}
	t.kick()
	n.changed.notify()
	s := n.fsm.state.Load()
	every := interval(s, n.cfg.DetectWithin)
	t.told(m.WorkerId, m.Incarnation, every)
	res = answer(s, m, uid)
	res.HeartbeatMs = uint32(every.Milliseconds())
	if j, _ := s.Assigned(m.WorkerId, m.Incarnation); m.JobUid != "" && (j == nil || j.UID != uid || j.Generation != m.Generation) {
		return res, telemetry.HeartbeatStale, nil
	}
	return res, telemetry.HeartbeatCurrent, nil
}

// answer is what a worker should do in state s, and what of its report is committed.
func answer(s *state.State, m *pb.HeartbeatRequest, uid uint64) *pb.HeartbeatResponse {
	res := &pb.HeartbeatResponse{}
	j, rank := s.Assigned(m.WorkerId, m.Incarnation)
	if j == nil {
		if m.JobUid != "" { // it works on something that is over
			res.Assignment = &pb.Assignment{JobUid: m.JobUid, Generation: m.Generation, Directive: pb.Directive_DIRECTIVE_STOP}
		}
		return res
	}
	res.Assignment = assignment(j, rank)
	if j.UID != uid || j.Generation != m.Generation {
		return res
	}
	res.AcknowledgedStep = j.Committed()
	if n := len(j.Evaluations); n > 0 {
		res.HasEvaluation, res.AcknowledgedEvaluationStep = true, j.Evaluations[n-1].Step
	}
	if n := len(j.Checkpoints); n > 0 {
		res.HasCheckpoint, res.AcknowledgedCheckpointStep = true, j.Checkpoints[n-1].Step
	}
	return res
}

// assignment is the part of one rank in j's current generation.
func assignment(j *state.Job, rank int) *pb.Assignment {
	a := &pb.Assignment{
		JobUid: fmt.Sprint(j.UID), JobName: j.Name, SpecYaml: j.Spec, Generation: j.Generation, Rank: uint32(rank),
		StartStep: j.StartStep, Source: j.Source.URI, SourceDigest: j.Source.Digest, Directive: pb.Directive_DIRECTIVE_RUN,
		Numerics: j.Numerics, CommittedStep: j.Committed(), FloorsKnown: j.FloorsKnown(),
	}
	if j.Stopping() {
		a.Directive = pb.Directive_DIRECTIVE_PAUSE
	}
	for r := range j.Members {
		a.Members = append(a.Members, member(j, r, state.MemberFigure{}))
	}
	for _, c := range j.Checkpoints {
		a.Checkpoints = append(a.Checkpoints, c.URI)
	}
	a.EpochLosses = floats(j.EpochLosses[:min(len(j.EpochLosses), j.EpochsFinished(j.StartStep))])
	for _, e := range evaluations(j.Evaluations) {
		if e.Step <= j.StartStep {
			a.Evaluations = append(a.Evaluations, e)
		}
	}
	return a
}
