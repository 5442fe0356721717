package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// jobService answers users, on the leader.
type jobService struct{ n *Node }

// Submit commits a job.
func (a *jobService) Submit(_ context.Context, req *connect.Request[pb.SubmitRequest]) (*connect.Response[pb.SubmitResponse], error) {
	c, err := submission(req.Msg.SpecYaml, req.Msg.Set, req.Msg.RequestId)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	job, err := a.command(state.Command{Submit: c})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SubmitResponse{Job: job}), nil
}

// Get reads one job.
func (a *jobService) Get(_ context.Context, req *connect.Request[pb.GetRequest]) (*connect.Response[pb.GetResponse], error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	j, err := find(s, req.Msg.Job)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GetResponse{Job: newView(s, t).job(j, req.Msg.Ledger, req.Msg.Wide)}), nil
}

// List reads all jobs in order of submission.
func (a *jobService) List(context.Context, *connect.Request[pb.ListRequest]) (*connect.Response[pb.ListResponse], error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	v, res := newView(s, t), &pb.ListResponse{}
	for _, j := range s.ByUID() {
		res.Jobs = append(res.Jobs, v.job(j, false, false))
	}
	return connect.NewResponse(res), nil
}

// Pause stops a job with a checkpoint.
func (a *jobService) Pause(_ context.Context, req *connect.Request[pb.PauseRequest]) (*connect.Response[pb.PauseResponse], error) {
	job, err := a.verb(req.Msg.Job, func(j *state.Job, final *state.Final) state.Command {
		return state.Command{Pause: &state.Pause{Job: j.UID, Final: final}}
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.PauseResponse{Job: job}), nil
}

// Resume continues a paused or failed job.
func (a *jobService) Resume(_ context.Context, req *connect.Request[pb.ResumeRequest]) (*connect.Response[pb.ResumeResponse], error) {
	job, err := a.verb(req.Msg.Job, func(j *state.Job, _ *state.Final) state.Command {
		// Coordinators of an older program, during an upgrade, know how to resume what is paused, but not what has failed.
		return state.Command{Resume: &state.Resume{Job: j.UID, Failed: j.State == state.Failed}}
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ResumeResponse{Job: job}), nil
}

// Cancel ends a job at once.
func (a *jobService) Cancel(_ context.Context, req *connect.Request[pb.CancelRequest]) (*connect.Response[pb.CancelResponse], error) {
	job, err := a.verb(req.Msg.Job, func(j *state.Job, final *state.Final) state.Command {
		return state.Command{Cancel: &state.Cancel{Job: j.UID, Final: final}}
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.CancelResponse{Job: job}), nil
}

// verb commits what is asked of the job named by key.
func (a *jobService) verb(key string, make func(j *state.Job, final *state.Final) state.Command) (*pb.Job, error) {
	t, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	j, err := find(s, key)
	if err != nil {
		return nil, err
	}
	return a.command(make(j, planner.FinalOf(j, t.observe(s, time.Now()))))
}

// command commits c and returns the job that it was about.
func (a *jobService) command(c state.Command) (*pb.Job, error) {
	t := a.n.term.Load()
	if t == nil {
		return nil, errTurned
	}
	result, err := a.n.apply(c)
	if err != nil {
		return nil, uncommitted(err)
	}
	if result.Err != nil {
		return nil, refused(result.Err)
	}
	s := a.n.fsm.state.Load()
	j := s.Jobs[result.Job]
	if j == nil {
		return nil, deleted(result.Job)
	}
	return newView(s, t).job(j, false, false), nil
}

// current is the newest agreed state: everything that was acknowledged before the call is in it. A majority has confirmed that this node
// still leads; since it has applied all that earlier leaders committed before its term began, and applies its own commits before it
// acknowledges them, there is nothing to wait for then.
func (n *Node) current() (*term, *state.State, error) {
	t := n.term.Load()
	if t == nil {
		return nil, nil, errTurned
	}
	if err := n.settle(n.raft.VerifyLeader); err != nil {
		return nil, nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("confirm that this coordinator still leads: %w", err))
	}
	return t, n.fsm.state.Load(), nil
}

// find is the job named by key (its name or UID).
func find(s *state.State, key string) (*state.Job, error) {
	if key == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("which job? give its name or uid"))
	}
	if j := s.Job(key); j != nil {
		return j, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no job %q: %s", key, offer(s, key)))
}
