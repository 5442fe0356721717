package coordinator

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// ListEvents reads what has happened.
func (a *clusterService) ListEvents(_ context.Context, req *connect.Request[pb.ListEventsRequest]) (*connect.Response[pb.ListEventsResponse], error) {
	_, s, err := a.n.current()
	if err != nil {
		return nil, err
	}
	uid, err := eventsOf(s, req.Msg.Job)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ListEventsResponse{Events: events(s, uid, req.Msg.AfterId, req.Msg.Limit)}), nil
}

// WatchEvents sends what has happened, and then what happens.
func (a *clusterService) WatchEvents(ctx context.Context, req *connect.Request[pb.WatchEventsRequest], out *connect.ServerStream[pb.WatchEventsResponse]) error {
	return streamed(ctx, a.n, req, out, func() error { return a.watchEvents(ctx, req.Msg, out) },
		func(ctx context.Context, c *http.Client, at string, r *connect.Request[pb.WatchEventsRequest]) (*connect.ServerStreamForClient[pb.WatchEventsResponse], error) {
			return sslctlv1connect.NewClusterServiceClient(c, at).WatchEvents(ctx, r)
		})
}

func (a *clusterService) watchEvents(ctx context.Context, m *pb.WatchEventsRequest, out *connect.ServerStream[pb.WatchEventsResponse]) error {
	t, s, err := a.n.current()
	if err != nil {
		return err
	}
	uid, err := eventsOf(s, m.Job)
	if err != nil {
		return err
	}
	after, limit, said := m.AfterId, m.Limit, time.Now()
	for {
		change := a.n.changed.next()
		s := a.n.fsm.state.Load()
		for _, e := range events(s, uid, after, limit) {
			if err := out.Send(&pb.WatchEventsResponse{Event: e}); err != nil {
				return err
			}
			said = time.Now()
		}
		if j := s.Jobs[uid]; uid != 0 && (j == nil || j.State.Ended()) {
			return nil
		}
		after, limit = (s.Index+1)*state.EventsOfCommand-1, 0
		quiet, err := waitQuietly(ctx, t, streamAlive-time.Since(said), change, nil)
		if err != nil {
			return err
		}
		if quiet {
			if err := out.Send(&pb.WatchEventsResponse{}); err != nil {
				return err
			}
			said = time.Now()
		}
	}
}

// eventsOf is the UID of the job whose events are wanted; 0 for all.
func eventsOf(s *state.State, key string) (uint64, error) {
	if key == "" {
		return 0, nil
	}
	j, err := find(s, key)
	if err != nil {
		return 0, err
	}
	return j.UID, nil
}

// events are those of a job, or with 0 all, that are newer than the one called after; of these the newest `limit`, unless it is 0.
func events(s *state.State, uid, after uint64, limit uint32) []*pb.Event {
	var list []state.Event
	if uid == 0 {
		list = s.AllEvents()
	} else if j := s.Jobs[uid]; j != nil {
		list = j.Events
	}
	first := len(list)
	for first > 0 && list[first-1].ID > after {
		first--
	}
	if n := int(limit); n > 0 {
		first = max(first, len(list)-n)
	}
	out := make([]*pb.Event, 0, len(list)-first)
	for _, e := range list[first:] {
		out = append(out, event(e))
	}
	return out
}

func event(e state.Event) *pb.Event {
	uid := ""
	if e.Job != 0 {
		uid = fmt.Sprint(e.Job)
	}
	return &pb.Event{
		Id: e.ID, UnixMs: e.AtMS, JobUid: uid, JobName: e.Name, WorkerId: e.Worker, Generation: e.Generation, Step: e.Step,
		Reason: string(e.Reason), Message: e.Text, Warning: e.Reason.Warning(),
	}
}
