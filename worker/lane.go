package worker

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/proto"
	"go.uber.org/zap"
)

// Lanes of spec.sync.lane, beside "auto".
const (
	laneNATS   = "nats"
	laneDirect = "direct"
)

// transport makes this rank's end of the ring: frames go straight to the neighbours where that can be, else over the cluster's NATS.
// shutdown ends what it has started, once the transport is closed.
func (s *session) transport(config allreduce.Config, conn *bus.Conn) (t allreduce.Transport, shutdown func()) {
	shared := allreduce.NewNATSTransport(conn, proto.RingSubject(s.registered.Cluster, config.JobUID, config.Generation), config.Rank)
	if config.World == 1 {
		return shared, func() {}
	}
	lane, shutdown, err := s.openLane(config, conn)
	if err == nil {
		var straight *allreduce.LaneTransport
		if straight, err = allreduce.NewLaneTransport(config, shared, lane); err == nil {
			return straight, shutdown
		}
		shutdown()
	}
	s.log.Warn("frames go over the NATS servers of the cluster, which is slower", zap.Error(err))
	return shared, func() {}
}

// openLane begins to listen for the neighbours.
func (s *session) openLane(config allreduce.Config, conn *bus.Conn) (lane allreduce.Lane, shutdown func(), err error) {
	if bus.Encrypted(conn) {
		return lane, nil, fmt.Errorf("the connection to %s is encrypted, those between workers are not", bus.Redact([]string{conn.ConnectedUrl()})[0])
	}
	lane = allreduce.Lane{Token: rand.Text(), Host: s.agent.config.RingHost, Changed: s.laneChanged}
	if lane.Host == "" {
		ip, err := conn.GetClientIP()
		if err != nil {
			return lane, nil, fmt.Errorf("find the host at which other workers reach this one: %w", err)
		}
		lane.Host = ip.String()
	}
	if s.job.Spec.Sync.Lane == laneNATS {
		server, err := bus.StartServer(bus.ServerConfig{
			Name:         fmt.Sprintf("%s-%s-%d", s.agent.config.ID, config.JobUID, config.Generation),
			ClientListen: s.agent.config.RingListen, Token: lane.Token, Logger: s.log.Named(laneNATS),
		})
		if err != nil {
			return lane, nil, err
		}
		lane.Server = server
		return lane, server.Shutdown, nil
	}
	if lane.Listener, err = net.Listen("tcp", s.agent.config.RingListen); err != nil {
		return lane, nil, fmt.Errorf("listen for other ranks: %w; --ring-listen says where", err)
	}
	return lane, func() { lane.Listener.Close() }, nil
}

// laneChanged logs how frames reach a neighbour from now on.
func (s *session) laneChanged(rank int, straight bool, why error) {
	if straight {
		s.log.Info("frames go straight to a neighbour", zap.Int("to_rank", rank))
		return
	}
	s.log.Warn("frames to a neighbour go over the NATS servers of the cluster, which is slower; it must reach this worker at --ring-host and the port of --ring-listen", zap.Int("to_rank", rank), zap.Error(why))
}
