package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// streamAlive is how long a stream says nothing: who follows it takes a coordinator that is silent for longer for frozen.
const streamAlive = 5 * time.Second

// streams are the procedures that answer with a stream. A follower relays those message by message: bytes that are merely passed on could
// not end with an error that says why when the leader changes.
var streams = map[string]bool{
	sslctlv1connect.JobServiceWatchProcedure:           true,
	sslctlv1connect.ClusterServiceWatchEventsProcedure: true,
	sslctlv1connect.LogServiceTailProcedure:            true,
}

// streamed answers a request here if this node leads, and else by what the leader answers: open asks it there.
func streamed[Req, Res any](ctx context.Context, n *Node, req *connect.Request[Req], out *connect.ServerStream[Res], here func() error,
	open func(context.Context, *http.Client, string, *connect.Request[Req]) (*connect.ServerStreamForClient[Res], error)) error {
	t, leader := n.awaitTerm(ctx)
	switch {
	case t != nil:
		return here()
	case leader == "":
		return connect.NewError(connect.CodeUnavailable, errors.New(n.leaderless()))
	case req.Header().Get(forwardedBy) != "":
		return errTurned
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer n.proxy.whileLeads(leader, cancel)()
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	passed := connect.NewRequest(req.Msg)
	passed.Header().Set(forwardedBy, n.cfg.ID)
	passed.Header().Set(telemetry.RequestHeader, req.Header().Get(telemetry.RequestHeader))
	stream, err := open(ctx, &http.Client{Transport: n.proxy.transport}, "http://"+n.cfg.Peers[leader], passed)
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

// waitQuietly waits until one of two things happens, or nothing for patience: then quiet is true.
func waitQuietly(ctx context.Context, t *term, patience time.Duration, a, b <-chan struct{}) (quiet bool, err error) {
	alive := time.NewTimer(patience)
	defer alive.Stop()
	select {
	case <-a:
	case <-b:
	case <-alive.C:
		return true, nil
	case <-t.ctx.Done():
		return false, errTurned
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return false, nil
}
