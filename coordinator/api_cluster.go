package coordinator

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/bus"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// clusterService tells how the group is, on the leader.
type clusterService struct{ n *Node }

// GetCluster lists coordinators and workers.
func (a *clusterService) GetCluster(context.Context, *connect.Request[pb.GetClusterRequest]) (*connect.Response[pb.GetClusterResponse], error) {
	n := a.n
	t, s, err := n.current()
	if err != nil {
		return nil, err
	}
	res := &pb.GetClusterResponse{
		Cluster: n.cfg.Cluster, LeaderId: n.cfg.ID, LeaderAddress: n.cfg.Advertise, NatsUrls: bus.Redact(n.cfg.NATSURLs()),
		Term: n.raft.CurrentTerm(), AppliedIndex: n.raft.AppliedIndex(), Version: n.cfg.Version,
	}
	for _, member := range membersOf(n.raft).servers {
		id := string(member.ID)
		c := &pb.Coordinator{Id: id, Address: n.addressOf(member), Leader: id == n.cfg.ID, State: "follower"}
		if c.Leader {
			c.State = "leader"
		} else if last, silent := n.silent.since(id); silent {
			c.State, c.LastSeenMsAgo = "silent", max(1, time.Since(last).Milliseconds())
		}
		res.Coordinators = append(res.Coordinators, c)
	}
	res.Workers = n.workers(t, s)
	return connect.NewResponse(res), nil
}

// workers lists the workers as the leader sees them now.
func (n *Node) workers(t *term, s *state.State) []*pb.Worker {
	v := newView(s, t)
	var list []*pb.Worker
	for _, id := range v.workerIDs() {
		list = append(list, v.worker(id, n.cfg.DetectWithin))
	}
	return list
}
