package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// CordonWorker keeps a worker id from new work.
func (a *clusterService) CordonWorker(_ context.Context, req *connect.Request[pb.CordonWorkerRequest]) (*connect.Response[pb.CordonWorkerResponse], error) {
	id := req.Msg.WorkerId
	w, err := a.change(id, state.Command{Cordon: &state.Cordoning{Worker: id, Drain: req.Msg.Drain}})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.CordonWorkerResponse{Worker: w}), nil
}

// UncordonWorker takes a cordon or drain back.
func (a *clusterService) UncordonWorker(_ context.Context, req *connect.Request[pb.UncordonWorkerRequest]) (*connect.Response[pb.UncordonWorkerResponse], error) {
	id := req.Msg.WorkerId
	w, err := a.change(id, state.Command{Uncordon: &state.Uncordon{Worker: id}})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.UncordonWorkerResponse{Worker: w}), nil
}

// change commits what is asked of a worker, and returns it as it is then.
func (a *clusterService) change(id string, c state.Command) (*pb.Worker, error) {
	n := a.n
	t, s, err := n.current()
	if err != nil {
		return nil, err
	}
	_, cordoned := s.Cordons[id]
	switch {
	case id == "":
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("which worker? give its id"))
	case s.Workers[id] == nil && !cordoned:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no worker %q: %s", id, offerWorker(s, id)))
	}
	result, err := n.apply(c)
	if err != nil {
		return nil, uncommitted(err)
	}
	if result.Err != nil {
		return nil, refused(result.Err)
	}
	return newView(n.fsm.state.Load(), t).worker(id, n.cfg.DetectWithin), nil
}

// offerWorker names the workers whose ids are nearest to one that does not exist.
func offerWorker(s *state.State, id string) string {
	ids := make([]string, 0, len(s.Workers))
	for _, w := range s.ByID() {
		ids = append(ids, w.ID)
	}
	if len(ids) == 0 {
		return "no worker is registered"
	}
	return cmp.Or(didYouMean(ids, id), "no id is near; sslctl worker list shows all workers")
}
