package main

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

// apiError is what a coordinator answered, without the code's name in the text.
type apiError struct {
	doing string
	err   *connect.Error
}

func (e *apiError) Error() string { return e.doing + ": " + e.err.Message() }
func (e *apiError) Unwrap() error { return e.err }

// endpoint is one coordinator.
type endpoint struct {
	address  string
	jobs     sslctlv1connect.JobServiceClient
	cluster  sslctlv1connect.ClusterServiceClient
	operator sslctlv1connect.OperatorServiceClient
	logs     sslctlv1connect.LogServiceClient
}

// client talks to the coordinators. It stays with the one that answered last, goes to the next when that one fails, and tries all of them
// again until the timeout: a new leader may be under election. It is used by one goroutine at a time.
type client struct {
	endpoints []endpoint
	current   int
	timeout   time.Duration
	http      *http.Client
}

func newClient(addresses []string, timeout time.Duration) (*client, error) {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: min(timeout, 3*time.Second)}).DialContext,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
	}
	c := &client{timeout: timeout, http: &http.Client{Transport: telemetry.SendRequestID(transport)}}
	for _, a := range addresses {
		a = strings.TrimSuffix(strings.TrimSpace(a), "/")
		if a == "" {
			continue
		}
		url := a
		if !strings.Contains(a, "://") {
			if _, _, err := net.SplitHostPort(a); err != nil {
				return nil, &usageError{fmt.Sprintf("--addr %q is no address (expected host:port)", a), "sslctl"}
			}
			url = "http://" + a
		}
		c.endpoints = append(c.endpoints, endpoint{
			a, sslctlv1connect.NewJobServiceClient(c.http, url), sslctlv1connect.NewClusterServiceClient(c.http, url),
			sslctlv1connect.NewOperatorServiceClient(c.http, url), sslctlv1connect.NewLogServiceClient(c.http, url),
		})
	}
	if len(c.endpoints) == 0 {
		return nil, &usageError{"--addr names no coordinator (expected host:port)", "sslctl"}
	}
	return c, nil
}

// connect makes a client for the coordinators at --addr.
func (g *globals) connect() (*client, error) { return newClient(g.addresses, g.timeout) }

func (c *client) close() { c.http.CloseIdleConnections() }

// again tells whether another coordinator, or the same one later, may answer better.
func again(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeUnknown, connect.CodeCanceled:
		return true
	case connect.CodeInternal:
		return !connect.IsWireError(err) // what came is no whole message: the connection was cut in the middle of one
	}
	return false
}

// call makes one request, to as many coordinators and as often as the timeout allows. Requests are safe to repeat: reads change nothing,
// a submission carries its request id, and the changes of state are named by the state they lead to.
func call[T any](ctx context.Context, c *client, doing string, f func(context.Context, endpoint) (*connect.Response[T], error)) (*T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errUnreachable)
	defer cancel()
	failures := map[string]string{} // by address: why it did not answer
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		for range c.endpoints {
			e := c.endpoints[c.current]
			// One coordinator that accepts and then says nothing must leave time for the others.
			attempt, cancelAttempt := context.WithTimeout(ctx, max(c.timeout/time.Duration(len(c.endpoints)+1), 100*time.Millisecond))
			response, err := f(attempt, e)
			cancelAttempt()
			if err == nil {
				return response.Msg, nil
			}
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return nil, fmt.Errorf("%s: %w", doing, context.Canceled)
			}
			if api := new(connect.Error); errors.As(err, &api) && !again(err) {
				return nil, &apiError{doing, api}
			}
			if _, told := failures[e.address]; !told || connect.CodeOf(err) != connect.CodeDeadlineExceeded { // that it was cut short tells nothing new
				failures[e.address] = message(err)
			}
			c.current = (c.current + 1) % len(c.endpoints)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errUnreachable) {
				return nil, fmt.Errorf("%s: %w", doing, context.Canceled)
			}
			return nil, fmt.Errorf("%s: %w within %v (%s); are these the right addresses (--addr, SSLCTL_ADDR), and is a majority of the coordinators running?",
				doing, errUnreachable, c.timeout, c.reasons(failures))
		}
	}
}

// reasons lists why the coordinators did not answer, in the order in which they were named.
func (c *client) reasons(failures map[string]string) string {
	var list []string
	for _, e := range c.endpoints {
		if why, tried := failures[e.address]; tried {
			list = append(list, e.address+": "+why)
		}
	}
	return strings.Join(list, ", ")
}

// message is the error without the name of the connect code and the address before it.
func message(err error) string {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return dial.Err.Error()
	}
	if connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		return "it accepts the connection and does not answer in time"
	}
	if why, other := bus.Answered(err); other {
		return why
	}
	if api := new(connect.Error); errors.As(err, &api) {
		return api.Message()
	}
	return err.Error()
}

func (c *client) submit(ctx context.Context, r *sslctlv1.SubmitRequest) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "submitting the job", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.SubmitResponse], error) {
		return e.jobs.Submit(ctx, connect.NewRequest(r))
	})
	return m.GetJob(), err
}

func (c *client) get(ctx context.Context, r *sslctlv1.GetRequest) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "reading job "+r.Job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.GetResponse], error) {
		return e.jobs.Get(ctx, connect.NewRequest(r))
	})
	return m.GetJob(), err
}

func (c *client) list(ctx context.Context) ([]*sslctlv1.Job, error) {
	m, err := call(ctx, c, "listing the jobs", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ListResponse], error) {
		return e.jobs.List(ctx, connect.NewRequest(&sslctlv1.ListRequest{}))
	})
	return m.GetJobs(), err
}

func (c *client) pause(ctx context.Context, job string) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "pausing job "+job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.PauseResponse], error) {
		return e.jobs.Pause(ctx, connect.NewRequest(&sslctlv1.PauseRequest{Job: job}))
	})
	return m.GetJob(), err
}

func (c *client) resume(ctx context.Context, job string) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "resuming job "+job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ResumeResponse], error) {
		return e.jobs.Resume(ctx, connect.NewRequest(&sslctlv1.ResumeRequest{Job: job}))
	})
	return m.GetJob(), err
}

func (c *client) cancel(ctx context.Context, job string) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "cancelling job "+job, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.CancelResponse], error) {
		return e.jobs.Cancel(ctx, connect.NewRequest(&sslctlv1.CancelRequest{Job: job}))
	})
	return m.GetJob(), err
}

func (c *client) getCluster(ctx context.Context) (*sslctlv1.GetClusterResponse, error) {
	return call(ctx, c, "reading the cluster", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.GetClusterResponse], error) {
		return e.cluster.GetCluster(ctx, connect.NewRequest(&sslctlv1.GetClusterRequest{}))
	})
}
