package worker

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// leavingCoordinator gives a worker one assignment, tells it to stop, and keeps it until release heartbeats say that the worker leaves.
type leavingCoordinator struct {
	sslctlv1connect.UnimplementedWorkerServiceHandler
	stop    context.CancelFunc
	release int

	mu     sync.Mutex
	leaves []string // the job that each heartbeat of a leaving worker is about
}

func (c *leavingCoordinator) Register(context.Context, *connect.Request[sslctlv1.RegisterRequest]) (*connect.Response[sslctlv1.RegisterResponse], error) {
	return connect.NewResponse(&sslctlv1.RegisterResponse{NatsUrls: []string{"nats://127.0.0.1:1"}, HeartbeatMs: 20}), nil
}

func (c *leavingCoordinator) Heartbeat(_ context.Context, req *connect.Request[sslctlv1.HeartbeatRequest]) (*connect.Response[sslctlv1.HeartbeatResponse], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.Msg.JobUid != "" {
		c.stop()
	}
	if req.Msg.Leaving {
		c.leaves = append(c.leaves, req.Msg.JobUid)
	}
	if len(c.leaves) > c.release {
		return connect.NewResponse(&sslctlv1.HeartbeatResponse{}), nil
	}
	return connect.NewResponse(&sslctlv1.HeartbeatResponse{Assignment: &sslctlv1.Assignment{
		JobUid: "7", JobName: "job", Generation: 1, Directive: sslctlv1.Directive_DIRECTIVE_RUN,
	}}), nil
}

// leaveWith runs a worker that is told to stop once it has a job, and lists what its heartbeats were about from then on.
func leaveWith(t *testing.T, within time.Duration, release int) []string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &leavingCoordinator{stop: stop, release: release}
	_, handler := sslctlv1connect.NewWorkerServiceHandler(c)
	server := httptest.NewServer(handler)
	defer server.Close()
	if err := Run(ctx, Config{ID: "w", Coordinators: []string{strings.TrimPrefix(server.URL, "http://")}, DrainWithin: within}); err != nil {
		t.Errorf("an orderly end is reported as %v", err)
	}
	return c.leaves
}

func TestAWorkerLeavesWhenItsJobGoesOnWithoutIt(t *testing.T) {
	got := leaveWith(t, time.Minute, 3)
	if n := len(got); n < 5 || got[n-2] != "7" || got[n-1] != "" {
		t.Errorf("its heartbeats were about %q; want those of job 7 until it was released, then one about none", got)
	}
}

func TestAWorkerThatMayNotWaitLeavesAtOnce(t *testing.T) {
	if got := leaveWith(t, 0, 3); len(got) != 1 || got[0] != "" {
		t.Errorf("its heartbeats were about %q; want one, about no job", got)
	}
}

func TestAWorkerDoesNotWaitForEver(t *testing.T) {
	got := leaveWith(t, 200*time.Millisecond, 1<<30)
	if n := len(got); n < 2 || got[0] != "7" || got[n-1] != "" {
		t.Errorf("its heartbeats were about %q; want some of job 7, and the last about none", got)
	}
}
