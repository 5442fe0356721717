package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// errNoCoordinator is returned when none of the known coordinators answered.
var errNoCoordinator = errors.New("no coordinator answers")

// coordinators is a client of the coordinator group. It stays with the node that answered last and moves on when that one fails. It is
// used by one goroutine at a time.
type coordinators struct {
	addresses []string
	clients   []sslctlv1connect.WorkerServiceClient
	current   int
	http      *http.Client
}

func newCoordinators(addresses []string, timeout time.Duration) (*coordinators, error) {
	if len(addresses) == 0 {
		return nil, errors.New("connect to the coordinators: no address given; expected host:port of at least one")
	}
	// Connections that a dead node leaves behind must not hold a heartbeat for longer than the detection of its death.
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: timeout}).DialContext, ResponseHeaderTimeout: timeout, IdleConnTimeout: time.Minute}
	c := &coordinators{addresses: addresses, http: &http.Client{Transport: telemetry.SendRequestID(transport)}}
	for _, a := range addresses {
		if !strings.Contains(a, "://") {
			a = "http://" + a
		}
		c.clients = append(c.clients, sslctlv1connect.NewWorkerServiceClient(c.http, a))
	}
	return c, nil
}

func (c *coordinators) close() { c.http.CloseIdleConnections() }

func (c *coordinators) register(ctx context.Context, r *sslctlv1.RegisterRequest, timeout time.Duration) (*sslctlv1.RegisterResponse, error) {
	return call(ctx, c, timeout, "register", func(ctx context.Context, s sslctlv1connect.WorkerServiceClient) (*connect.Response[sslctlv1.RegisterResponse], error) {
		return s.Register(ctx, connect.NewRequest(r))
	})
}

func (c *coordinators) heartbeat(ctx context.Context, r *sslctlv1.HeartbeatRequest, timeout time.Duration) (*sslctlv1.HeartbeatResponse, error) {
	return call(ctx, c, timeout, "send a heartbeat", func(ctx context.Context, s sslctlv1connect.WorkerServiceClient) (*connect.Response[sslctlv1.HeartbeatResponse], error) {
		return s.Heartbeat(ctx, connect.NewRequest(r))
	})
}

// call tries each coordinator once, beginning with the one that answered last. An answer that refuses the request is final.
func call[T any](ctx context.Context, c *coordinators, timeout time.Duration, doing string, f func(context.Context, sslctlv1connect.WorkerServiceClient) (*connect.Response[T], error)) (*T, error) {
	var failures []string
	for range c.clients {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		response, err := f(attempt, c.clients[c.current])
		cancel()
		if err == nil {
			return response.Msg, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		switch connect.CodeOf(err) {
		case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodePermissionDenied, connect.CodeUnimplemented:
			return nil, &refusal{doing + " at coordinator " + c.addresses[c.current], err}
		}
		failures = append(failures, c.addresses[c.current]+": "+reason(err))
		c.current = (c.current + 1) % len(c.clients)
	}
	return nil, fmt.Errorf("%s: %w: %s", doing, errNoCoordinator, strings.Join(failures, ", "))
}

// refusal is a coordinator's final answer, in its words: without the name of the code that it came with.
type refusal struct {
	doing string
	api   error
}

func (r *refusal) Error() string { return r.doing + ": " + reason(r.api) }
func (r *refusal) Unwrap() error { return r.api }

// reason is what an error says beside the address and the protocol.
func reason(err error) string {
	var dial *net.OpError
	var api *connect.Error
	why, other := bus.Answered(err)
	switch {
	case other:
		return why
	case errors.As(err, &dial) && dial.Op == "dial":
		return dial.Err.Error()
	case errors.As(err, &api):
		return api.Message()
	}
	return err.Error()
}
