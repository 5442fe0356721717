package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// watchEvery bounds how often Watch sends a job that changes all the time.
const watchEvery = 100 * time.Millisecond

// Watch sends the job each time that it has changed. A follower relays it message by message: bytes that are merely passed on could not
// end with an error that says why when the leader changes.
func (a *jobService) Watch(ctx context.Context, req *connect.Request[pb.WatchRequest], out *connect.ServerStream[pb.WatchResponse]) error {
	t, leader := a.n.awaitTerm(ctx)
	switch {
	case t != nil:
		return a.watch(ctx, req.Msg.Job, out)
	case leader == "":
		return connect.NewError(connect.CodeUnavailable, errors.New(a.n.leaderless()))
	case req.Header().Get(forwardedBy) != "":
		return errTurned
	}
	return a.relay(ctx, leader, req.Msg, out)
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
		job := newView(s, t).job(s.Jobs[uid], false, false)
		if !proto.Equal(job, last) {
			if err := out.Send(&pb.WatchResponse{Job: job}); err != nil {
				return err
			}
			last = job
		}
		if s.Jobs[uid].State.Ended() {
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

// wait waits for one thing, no longer than the request and the term.
func wait[T any](ctx context.Context, t *term, c <-chan T) error {
	select {
	case <-c:
		return nil
	case <-t.ctx.Done():
		return errTurned
	case <-ctx.Done():
		return ctx.Err()
	}
}

// relay watches at the leader.
func (a *jobService) relay(ctx context.Context, leader string, m *pb.WatchRequest, out *connect.ServerStream[pb.WatchResponse]) error {
	n := a.n
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer n.proxy.whileLeads(leader, cancel)()
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	client := sslctlv1connect.NewJobServiceClient(&http.Client{Transport: n.proxy.transport}, "http://"+n.cfg.Peers[leader])
	req := connect.NewRequest(m)
	req.Header().Set(forwardedBy, n.cfg.ID)
	stream, err := client.Watch(ctx, req)
	if err != nil {
		return relayed(ctx, err)
	}
	defer stream.Close()
	for stream.Receive() {
		if err := out.Send(stream.Msg()); err != nil {
			return err
		}
	}
	return relayed(ctx, stream.Err())
}

// relayed is an error of the leader for the caller. A connection that broke on the way is none of the caller's fault.
func relayed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return connect.NewError(connect.CodeUnavailable, fmt.Errorf("watch at the leading coordinator: %w", cause))
	}
	if wire := new(connect.Error); errors.As(err, &wire) && connect.IsWireError(err) {
		return connect.NewError(wire.Code(), errors.New(wire.Message()))
	}
	return connect.NewError(connect.CodeUnavailable, fmt.Errorf("watch at the leading coordinator: %w", err))
}
