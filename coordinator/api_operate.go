package coordinator

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// Scale changes how many workers a job has at least and at most.
func (a *jobService) Scale(_ context.Context, req *connect.Request[pb.ScaleRequest]) (*connect.Response[pb.ScaleResponse], error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	j, err := find(s, req.Msg.Job)
	if err != nil {
		return nil, err
	}
	least, most := j.Need.WorkersMin, j.Need.WorkersMax
	if n := req.Msg.WorkersMin; n != 0 {
		least = int(n)
	}
	if n := req.Msg.WorkersMax; n != 0 {
		most = int(n)
	}
	now := time.Now()
	why := planner.Scaling(s, t.observe(s, now), a.n.knobs(), now.UnixMilli(), j, least, most)
	job, err := a.command(state.Command{Scale: &state.Scale{Job: j.UID, WorkersMin: least, WorkersMax: most, Reform: why}})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ScaleResponse{Job: job}), nil
}

// Delete removes a job.
func (a *jobService) Delete(_ context.Context, req *connect.Request[pb.DeleteRequest]) (*connect.Response[pb.DeleteResponse], error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	j, err := find(s, req.Msg.Job)
	if err != nil {
		return nil, err
	}
	last := newView(s, t).job(j, false, false)
	result, err := a.n.apply(state.Command{Delete: &state.Delete{Job: j.UID, Force: req.Msg.Force, Final: planner.FinalOf(j, t.observe(s, time.Now()))}})
	if err != nil {
		return nil, uncommitted(err)
	}
	if result.Err != nil {
		return nil, refused(result.Err)
	}
	if !j.State.Ended() {
		last.State, last.Reason = pb.JobState_JOB_STATE_CANCELLED, "cancelled, to be deleted"
	}
	return connect.NewResponse(&pb.DeleteResponse{Job: last}), nil
}

// explainedEvents is how many events Explain gives.
const explainedEvents = 10

// Explain tells why a job is as it is.
func (a *jobService) Explain(_ context.Context, req *connect.Request[pb.ExplainRequest]) (*connect.Response[pb.ExplainResponse], error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	j, err := find(s, req.Msg.Job)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	e := planner.Explain(s, t.observe(s, now), a.n.knobs(), now.UnixMilli(), j)
	res := &pb.ExplainResponse{Job: newView(s, t).job(j, false, false), Needs: e.Needs, Next: e.Next, Events: events(s, j.UID, 0, explainedEvents)}
	for _, v := range e.Workers {
		res.Workers = append(res.Workers, &pb.Verdict{WorkerId: v.Worker, TakesPart: v.TakesPart, Can: v.Can, Why: v.Why})
	}
	return connect.NewResponse(res), nil
}

// knobs are the planner's settings.
func (n *Node) knobs() planner.Knobs {
	return planner.Knobs{DetectWithin: n.cfg.DetectWithin, ForgetAfter: forgetAfter, FruitlessMost: fruitlessMost}
}

// deleted is what those hear who follow a job that is deleted.
func deleted(uid uint64) error {
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("job %d was deleted", uid))
}
