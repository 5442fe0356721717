package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// operatorService is for those who run the coordinators; all but NodeStatus on the leader.
type operatorService struct{ n *Node }

// NodeStatus tells how this node is.
func (a *operatorService) NodeStatus(context.Context, *connect.Request[pb.NodeStatusRequest]) (*connect.Response[pb.NodeStatusResponse], error) {
	s, err := a.n.status()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(s), nil
}

// ListPeers asks all members how they are.
func (a *operatorService) ListPeers(ctx context.Context, _ *connect.Request[pb.ListPeersRequest]) (*connect.Response[pb.ListPeersResponse], error) {
	if _, _, err := a.n.current(); err != nil {
		return nil, err
	}
	m := membersOf(a.n.raft)
	res := &pb.ListPeersResponse{Peers: a.n.peers(ctx, m)}
	for _, id := range slices.Sorted(maps.Keys(a.n.cfg.Peers)) {
		if !m.has(id) {
			res.Absent = append(res.Absent, id)
		}
	}
	return connect.NewResponse(res), nil
}

// TransferLeadership lets another member lead, and waits until this node follows it.
func (a *operatorService) TransferLeadership(ctx context.Context, req *connect.Request[pb.TransferLeadershipRequest]) (*connect.Response[pb.TransferLeadershipResponse], error) {
	n, to := a.n, req.Msg.To
	if _, _, err := n.current(); err != nil {
		return nil, err
	}
	m := membersOf(n.raft)
	at := slices.IndexFunc(m.servers, func(s raft.Server) bool { return string(s.ID) == to })
	switch {
	case to != "" && at < 0:
		return nil, noMember(m, to)
	case to == n.cfg.ID, to == "" && req.Msg.From != "" && req.Msg.From != n.cfg.ID:
		return connect.NewResponse(&pb.TransferLeadershipResponse{LeaderId: n.cfg.ID}), nil // it leads already: an earlier attempt
	case len(m.servers) == 1:
		return nil, precondition("coordinator %s is alone in its group; nobody else can lead", n.cfg.ID)
	}
	ask := n.raft.LeadershipTransfer
	if to != "" {
		if _, silent := n.silent.since(to); silent {
			return nil, precondition("coordinator %s does not answer, so it cannot lead; choose another of %s", to, strings.Join(m.ids(), ", "))
		}
		ask = func() raft.Future { return n.raft.LeadershipTransferToServer(m.servers[at].ID, m.servers[at].Address) }
	}
	switch err := n.settle(ask); {
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrNotLeader):
		// The answer to an earlier attempt went astray while the leader changed; the next attempt finds who leads.
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("transfer the leadership: %w", err))
	case err != nil:
		return nil, precondition("no other coordinator has taken over the leadership (%w); see sslctl operator raft list-peers", err)
	}
	leader, err := n.awaitOther(ctx)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	return connect.NewResponse(&pb.TransferLeadershipResponse{LeaderId: leader}), nil
}

// awaitOther waits until another node leads.
func (n *Node) awaitOther(ctx context.Context) (string, error) {
	for {
		change := n.changed.next()
		if _, id := n.raft.LeaderWithID(); id != "" && string(id) != n.cfg.ID {
			return string(id), nil
		}
		select {
		case <-change:
		case <-n.ctx.Done():
			return "", ErrClosed
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// AddPeer lets in a node that was started to join, on an empty folder.
func (a *operatorService) AddPeer(ctx context.Context, req *connect.Request[pb.AddPeerRequest]) (*connect.Response[pb.AddPeerResponse], error) {
	n, id := a.n, req.Msg.Id
	if _, _, err := n.current(); err != nil {
		return nil, err
	}
	m := membersOf(n.raft)
	address, told := n.cfg.Peers[id]
	switch {
	case m.has(id): // as asked, or by an earlier attempt
		return connect.NewResponse(&pb.AddPeerResponse{Peers: n.peers(ctx, m)}), nil
	case !told:
		return nil, precondition("the leading coordinator %s does not know where %q is; restart the coordinators, one after another, with it in --peers", n.cfg.ID, id)
	}
	status, err := n.statusOf(ctx, address)
	switch {
	case err != nil:
		return nil, precondition("coordinator %s does not answer at %s (%w); start it first, on an empty --data-dir with --join", id, address, err)
	case status.Id != id || status.Cluster != n.cfg.Cluster:
		return nil, precondition("at %s, where --peers has %s, is coordinator %s of cluster %q; correct --peers", address, id, status.Id, status.Cluster)
	case status.Member:
		return nil, precondition("coordinator %s has made, or been of, a group of its own; start it again on an empty --data-dir with --join", id)
	}
	if err := n.settle(func() raft.Future {
		return n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(address), m.index, n.cfg.DetectWithin)
	}); err != nil {
		return nil, uncommitted(fmt.Errorf("let coordinator %s in: %w", id, err))
	}
	n.log.Info("let a coordinator in", zap.String("peer", id), zap.String("at", address))
	return connect.NewResponse(&pb.AddPeerResponse{Peers: n.peers(ctx, membersOf(n.raft))}), nil
}

// RemovePeer takes a member out of the group, unless the others could then not decide anything.
func (a *operatorService) RemovePeer(ctx context.Context, req *connect.Request[pb.RemovePeerRequest]) (*connect.Response[pb.RemovePeerResponse], error) {
	n, id := a.n, req.Msg.Id
	if _, _, err := n.current(); err != nil {
		return nil, err
	}
	m := membersOf(n.raft)
	switch {
	case !m.has(id):
		return nil, noMember(m, id)
	case len(m.servers) == 1:
		return nil, precondition("coordinator %s is the only one of its group; to end the group, stop it", id)
	case id == n.cfg.ID:
		return nil, precondition("coordinator %s leads; let another one lead first: sslctl operator raft transfer-leadership", id)
	}
	left := membership{servers: slices.DeleteFunc(slices.Clone(m.servers), func(s raft.Server) bool { return string(s.ID) == id })}
	if have, need := answering(n.peers(ctx, m), id), left.voters()/2+1; have < need {
		return nil, precondition("without %s the group is %s, of which %d answer and %d must; bring the silent ones back first, or remove one of them instead",
			id, strings.Join(left.ids(), ", "), have, need)
	}
	if err := n.settle(func() raft.Future { return n.raft.RemoveServer(raft.ServerID(id), m.index, n.cfg.DetectWithin) }); err != nil {
		return nil, uncommitted(fmt.Errorf("remove coordinator %s: %w", id, err))
	}
	n.log.Info("removed a coordinator", zap.String("peer", id))
	return connect.NewResponse(&pb.RemovePeerResponse{Peers: n.peers(ctx, membersOf(n.raft))}), nil
}

func noMember(m membership, id string) error {
	if id == "" {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("which coordinator? give its id"))
	}
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no coordinator %q in the group %s", id, strings.Join(m.ids(), ", ")))
}

func precondition(format string, args ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, args...))
}
