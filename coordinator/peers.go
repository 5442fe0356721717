package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/raft"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// membership is the group as this node's log has it.
type membership struct {
	servers []raft.Server // in order of their ids
	index   uint64        // of the entry in the log that made it so
}

// membersOf reads the group from a Raft node; it is empty for one that waits to be let into a group.
func membersOf(r *raft.Raft) membership {
	f := r.GetConfiguration() // it is at hand: there is nothing to wait for, and no error
	m := membership{servers: slices.Clone(f.Configuration().Servers), index: f.Index()}
	slices.SortFunc(m.servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return m
}

// ids names the members.
func (m membership) ids() []string {
	list := make([]string, len(m.servers))
	for i, s := range m.servers {
		list[i] = string(s.ID)
	}
	return list
}

// has tells whether id is a member.
func (m membership) has(id string) bool { return slices.Contains(m.ids(), id) }

// voters is how many members take part in decisions.
func (m membership) voters() int {
	n := 0
	for _, s := range m.servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// addressOf is where a member is now: as this node was told, or else as the group remembers it.
func (n *Node) addressOf(s raft.Server) string {
	if now, told := n.cfg.Peers[string(s.ID)]; told {
		return now
	}
	return string(s.Address)
}

// status is how this node is.
func (n *Node) status() (*pb.NodeStatusResponse, error) {
	first, err := n.disk.log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read the log in the data folder %s: %w", n.cfg.DataDir, err)
	}
	snapshots, err := n.disk.snapshots.List()
	if err != nil {
		return nil, fmt.Errorf("list the snapshots in the data folder %s: %w", n.cfg.DataDir, err)
	}
	_, leader := n.raft.LeaderWithID()
	s := &pb.NodeStatusResponse{
		Id: n.cfg.ID, Cluster: n.cfg.Cluster, Version: n.cfg.Version, LeaderId: string(leader), Term: n.raft.CurrentTerm(),
		CommitIndex: n.raft.CommitIndex(), AppliedIndex: n.raft.AppliedIndex(), FirstLogIndex: first, LastLogIndex: n.raft.LastIndex(),
		LeaderContactMs: -1, Member: membersOf(n.raft).has(n.cfg.ID),
	}
	if len(snapshots) > 0 {
		s.SnapshotIndex = snapshots[0].Index
	}
	if last := n.raft.LastContact(); n.raft.State() == raft.Leader {
		s.LeaderContactMs = 0
	} else if !last.IsZero() {
		s.LeaderContactMs = max(1, time.Since(last).Milliseconds())
	}
	return s, nil
}

// statusOf asks another node how it is.
func (n *Node) statusOf(ctx context.Context, address string) (*pb.NodeStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.DetectWithin)
	defer cancel()
	client := sslctlv1connect.NewOperatorServiceClient(&http.Client{Transport: n.proxy.transport}, "http://"+address)
	res, err := client.NodeStatus(ctx, connect.NewRequest(&pb.NodeStatusRequest{}))
	if err != nil {
		if api := new(connect.Error); errors.As(err, &api) {
			return nil, errors.New(api.Message())
		}
		return nil, err
	}
	return res.Msg, nil
}

// peers asks all members how they are, at once.
func (n *Node) peers(ctx context.Context, m membership) []*pb.Peer {
	list := make([]*pb.Peer, len(m.servers))
	var wg sync.WaitGroup
	for i, s := range m.servers {
		p := &pb.Peer{Id: string(s.ID), Address: n.addressOf(s), Suffrage: strings.ToLower(s.Suffrage.String()), Leader: string(s.ID) == n.cfg.ID}
		if last, silent := n.silent.since(p.Id); silent {
			p.SilentMs = max(1, time.Since(last).Milliseconds())
		}
		list[i] = p
		wg.Go(func() {
			var err error
			if p.Leader {
				p.Status, err = n.status()
			} else {
				p.Status, err = n.statusOf(ctx, p.Address)
			}
			if err != nil {
				p.Error = err.Error()
			}
		})
	}
	wg.Wait()
	return list
}

// answering counts the voters of list that answer and are not silent, without the one named.
func answering(list []*pb.Peer, without string) int {
	n := 0
	for _, p := range list {
		if p.Id != without && p.Status != nil && p.SilentMs == 0 && p.Suffrage == "voter" {
			n++
		}
	}
	return n
}
