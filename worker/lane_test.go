package worker

import (
	"fmt"
	"net"
	"testing"

	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/pkg/allreduce"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A rank offers its neighbours the lane that the job asks for. Where it cannot listen it takes the NATS of all, and says so.
func TestTransportOfARank(t *testing.T) {
	shared, err := bus.StartServer(bus.ServerConfig{Name: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.Shutdown)
	conn, err := bus.Connect(t.Context(), []string{shared.ClientURL()}, "a", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, c := range []struct {
		lane, listen string
		world        int
		straight     bool
		warnings     int
	}{
		{"auto", "127.0.0.1:0", 2, true, 0},
		{laneDirect, "127.0.0.1:0", 2, true, 0},
		{laneNATS, "127.0.0.1:0", 2, true, 0},
		{laneDirect, taken.Addr().String(), 2, false, 1},
		{laneNATS, taken.Addr().String(), 2, false, 1},
		{laneDirect, taken.Addr().String(), 1, false, 0},
	} {
		t.Run(fmt.Sprintf("%s at %s of %d", c.lane, c.listen, c.world), func(t *testing.T) {
			s := testSession(t)
			core, logged := observer.New(zap.WarnLevel)
			s.log, s.registered = zap.New(core), &sslctlv1.RegisterResponse{Cluster: "c"}
			s.agent.config.ID, s.agent.config.RingListen = "a", c.listen
			s.job.Spec.Sync.Lane = c.lane
			transport, shutdown := s.transport(allreduce.Config{World: c.world, VirtualRanks: 2, JobUID: "7", Generation: 2}, conn)
			defer shutdown()
			if _, straight := transport.(*allreduce.LaneTransport); straight != c.straight {
				t.Errorf("the transport is %T", transport)
			}
			if logged.Len() != c.warnings {
				t.Errorf("the log has %v, want %d warnings", logged.All(), c.warnings)
			}
			if err := transport.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
