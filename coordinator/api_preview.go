package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// Preview submits a job to a copy of the state and lets the planner decide there: what it says is what Submit would lead to now.
func (a *jobService) Preview(_ context.Context, req *connect.Request[pb.PreviewRequest]) (*connect.Response[pb.PreviewResponse], error) {
	submit, err := submission(req.Msg.SpecYaml, nil, "")
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	n := a.n
	t, s, err := n.current()
	if err != nil {
		return nil, err
	}
	res := &pb.PreviewResponse{}
	if j := s.Job(submit.Name); j != nil && j.Name == submit.Name { // not one whose uid it is
		res.Existing = newView(s, t).job(j, false, false)
		if !j.State.Ended() {
			return connect.NewResponse(res), nil
		}
	}
	now := time.Now()
	with, result := state.Apply(s, s.Index+1, state.Command{NowMS: now.UnixMilli(), Submit: submit})
	if result.Err != nil {
		return nil, refused(result.Err)
	}
	seen, job := t.observe(s, now), with.Jobs[result.Job]
	decision := planner.Plan(with, seen, n.knobs(), now.UnixMilli())
	e := planner.Explain(with, seen, n.knobs(), now.UnixMilli(), job)
	res.Needs, res.Reason = e.Needs, decision.Reasons[job.UID]
	for _, c := range decision.Commands {
		if c.Start != nil && c.Start.Job == job.UID {
			job.Members = c.Start.Members // of the copy
			for r := range job.Members {
				res.Members = append(res.Members, member(job, r, state.MemberFigure{}))
			}
		}
	}
	for _, v := range e.Workers {
		rank := slices.IndexFunc(res.Members, func(m *pb.Member) bool { return m.WorkerId == v.Worker })
		if rank >= 0 {
			v.TakesPart, v.Can, v.Why = true, true, fmt.Sprintf("free: rank %d", rank)
		}
		res.Workers = append(res.Workers, &pb.Verdict{WorkerId: v.Worker, TakesPart: v.TakesPart, Can: v.Can, Why: v.Why})
	}
	return connect.NewResponse(res), nil
}
