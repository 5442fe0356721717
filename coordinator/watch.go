package coordinator

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// watchEvery bounds how often Watch sends a job that changes all the time.
const watchEvery = 100 * time.Millisecond

// Watch sends the job each time that it has changed.
func (a *jobService) Watch(ctx context.Context, req *connect.Request[pb.WatchRequest], out *connect.ServerStream[pb.WatchResponse]) error {
	return streamed(ctx, a.n, req, out, func() error { return a.watch(ctx, req.Msg.Job, out) },
		func(ctx context.Context, c *http.Client, at string, r *connect.Request[pb.WatchRequest]) (*connect.ServerStreamForClient[pb.WatchResponse], error) {
			return sslctlv1connect.NewJobServiceClient(c, at).Watch(ctx, r)
		})
}

func (a *jobService) watch(ctx context.Context, key string, out *connect.ServerStream[pb.WatchResponse]) error {
	t, s, err := a.n.current()
	if err != nil {
		return err
	}
	j, err := find(s, key)
	if err != nil {
		return err
	}
	uid := j.UID
	var last *pb.Job
	pause := time.NewTimer(watchEvery)
	defer pause.Stop()
	for {
		change := a.n.changed.next()
		s := a.n.fsm.state.Load()
		j := s.Jobs[uid]
		if j == nil {
			return deleted(uid)
		}
		job := newView(s, t).job(j, false, false)
		if !proto.Equal(job, last) {
			if err := out.Send(&pb.WatchResponse{Job: job}); err != nil {
				return err
			}
			last = job
		}
		if j.State.Ended() {
			return nil
		}
		if err := wait(ctx, t, change); err != nil {
			return err
		}
		pause.Reset(watchEvery)
		if err := wait(ctx, t, pause.C); err != nil {
			return err
		}
	}
}
