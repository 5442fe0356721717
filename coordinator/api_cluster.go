package coordinator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
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
		Cluster: n.cfg.Cluster, LeaderId: n.cfg.ID, LeaderAddress: n.cfg.Advertise, NatsUrls: n.cfg.NATSURLs(),
		Term: n.raft.CurrentTerm(), AppliedIndex: n.raft.AppliedIndex(), Version: n.cfg.Version,
	}
	for _, id := range slices.Sorted(maps.Keys(n.cfg.Peers)) {
		c := &pb.Coordinator{Id: id, Address: n.cfg.Peers[id], Leader: id == n.cfg.ID, State: "follower"}
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
	list := make([]*pb.Worker, 0, len(s.Workers))
	seen := t.observe(s, time.Now())
	for _, w := range s.ByID() {
		o := seen[w.ID]
		worker := &pb.Worker{
			Id: w.ID, Incarnation: w.Incarnation, Host: w.Host, Version: w.Version, Numerics: w.Numerics, Labels: w.Labels,
			Cores: int32(w.Cores), State: "free", LastSeenMsAgo: o.Age.Milliseconds(),
		}
		job, _ := s.Assigned(w.ID, w.Incarnation)
		if job != nil {
			worker.State, worker.JobUid = "busy", fmt.Sprint(job.UID)
		}
		switch {
		case planner.Lost(job, o, n.cfg.DetectWithin):
			worker.State = "lost"
		case o.Leaving:
			worker.State = "leaving"
		}
		list = append(list, worker)
	}
	return list
}
