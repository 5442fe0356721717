package main

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newOperatorRaftCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "raft",
		Short: "See and change who is of the coordinator group and who leads it",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newListPeersCommand(g), newTransferLeadershipCommand(g), newAddPeerCommand(g), newRemovePeerCommand(g))
	return cmd
}

func newListPeersCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list-peers",
		Short: "List the coordinators of the group, with how far each is in the log",
		Long: `Lists the coordinators that are of the group, each as it answers the leader: its role, when it last heard the leader, the term, the index up
to which the log is committed and applied there, and which part of the log and which snapshot are on its disk.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return runListPeers(cmd.Context(), g) },
	}
}

func runListPeers(ctx context.Context, g *globals) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	res, err := c.listPeers(ctx)
	if err != nil {
		return err
	}
	if err := printPeers(g, res.Peers); err != nil {
		return err
	}
	for _, id := range res.Absent {
		fmt.Fprintf(g.err, "%s is among the --peers of the leader, but no member of the group\n", id)
	}
	return nil
}

func newTransferLeadershipCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer-leadership [COORDINATOR]",
		Short: "Let another coordinator lead",
		Long: `Lets another coordinator lead, for example before the leader's machine is taken down: the one named, or the one that has most of the log.
Jobs go on meanwhile.`,
		Args: arguments(0, 1, "the coordinator's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTransferLeadership(cmd.Context(), g, append(args, "")[0])
		},
	}
}

func runTransferLeadership(ctx context.Context, g *globals, to string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	before, err := c.listPeers(ctx)
	if err != nil {
		return err
	}
	r := &sslctlv1.TransferLeadershipRequest{To: to}
	for _, p := range before.Peers {
		if p.Leader {
			r.From = p.Id
		}
	}
	m, err := call(ctx, c, "transferring the leadership", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.TransferLeadershipResponse], error) {
		return e.operator.TransferLeadership(ctx, connect.NewRequest(r))
	})
	if err != nil {
		return err
	}
	return g.print(map[string]string{"leader": m.LeaderId, "before": r.From}, func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "coordinator %s leads\n", m.LeaderId)
	})
}

func newAddPeerCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "add-peer COORDINATOR",
		Short: "Let a coordinator into the group",
		Long: `Lets a coordinator into the group: a new one, or one that was removed. Before, restart the coordinators of the group one after another with it
in --peers, and start it with the same --peers, an empty --data-dir and --join. Add one at a time; 3 or 5 are the useful numbers.`,
		Args: arguments(1, 1, "the coordinator's id"),
		RunE: func(cmd *cobra.Command, args []string) error { return runAddPeer(cmd.Context(), g, args[0]) },
	}
}

func runAddPeer(ctx context.Context, g *globals, id string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	m, err := call(ctx, c, "adding coordinator "+id, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.AddPeerResponse], error) {
		return e.operator.AddPeer(ctx, connect.NewRequest(&sslctlv1.AddPeerRequest{Id: id}))
	})
	if err != nil {
		return err
	}
	return printPeers(g, m.Peers)
}

func newRemovePeerCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "remove-peer COORDINATOR",
		Short: "Take a coordinator out of the group",
		Long: `Takes a coordinator out of the group, for good: one whose machine will not come back, or to make the group smaller. It is refused if those
that are left could then decide nothing because too many of them do not answer, and for the leader: let another one lead first.

One that is merely being replaced need not be removed: start it on the new machine, with an empty --data-dir and the same --id, and give its new
address to the others in --peers.

Afterwards stop the removed coordinator, and leave it out of the --peers of the others when they are next restarted. It comes back only by
sslctl operator raft add-peer, on an empty --data-dir and with --join.`,
		Args: arguments(1, 1, "the coordinator's id"),
		RunE: func(cmd *cobra.Command, args []string) error { return runRemovePeer(cmd.Context(), g, args[0]) },
	}
}

func runRemovePeer(ctx context.Context, g *globals, id string) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	m, err := call(ctx, c, "removing coordinator "+id, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.RemovePeerResponse], error) {
		return e.operator.RemovePeer(ctx, connect.NewRequest(&sslctlv1.RemovePeerRequest{Id: id}))
	})
	if err != nil {
		return err
	}
	if n := len(m.Peers); n%2 == 0 {
		fmt.Fprintf(g.err, "a group of %d stands the loss of no more coordinators than one of %d\n", n, n-1)
	}
	return printPeers(g, m.Peers)
}

func (c *client) listPeers(ctx context.Context) (*sslctlv1.ListPeersResponse, error) {
	return call(ctx, c, "listing the coordinators", func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.ListPeersResponse], error) {
		return e.operator.ListPeers(ctx, connect.NewRequest(&sslctlv1.ListPeersRequest{}))
	})
}

// peerReport is a coordinator of the group as -o json and -o yaml show it.
type peerReport struct {
	ID              string `json:"id"`
	Address         string `json:"address"`
	Suffrage        string `json:"suffrage"`
	Leader          bool   `json:"leader"`
	Answers         bool   `json:"answers"`
	Error           string `json:"error,omitempty"`
	SilentMs        int64  `json:"silentMs"`
	LeaderContactMs int64  `json:"leaderContactMs"` // since it last heard the leader; -1: never
	Term            uint64 `json:"term"`
	CommitIndex     uint64 `json:"commitIndex"`
	AppliedIndex    uint64 `json:"appliedIndex"`
	FirstLogIndex   uint64 `json:"firstLogIndex"`
	LastLogIndex    uint64 `json:"lastLogIndex"`
	SnapshotIndex   uint64 `json:"snapshotIndex"`
	Version         string `json:"version"`
}

func printPeers(g *globals, peers []*sslctlv1.Peer) error {
	reports := make([]peerReport, len(peers))
	for i, p := range peers {
		s := p.Status
		reports[i] = peerReport{p.Id, p.Address, p.Suffrage, p.Leader, s != nil, p.Error, p.SilentMs, s.GetLeaderContactMs(), s.GetTerm(),
			s.GetCommitIndex(), s.GetAppliedIndex(), s.GetFirstLogIndex(), s.GetLastLogIndex(), s.GetSnapshotIndex(), s.GetVersion()}
	}
	return g.print(reports, func(w io.Writer, wide bool) { peerTable(w, peers, wide) })
}

func peerTable(w io.Writer, peers []*sslctlv1.Peer, wide bool) {
	head := []string{"COORDINATOR", "ADDRESS", "ROLE", "SUFFRAGE", "HEARD LEADER", "TERM", "COMMITTED", "APPLIED", "LOG", "SNAPSHOT"}
	if wide {
		head = append(head, "VERSION")
	}
	rows := [][]string{append(head, "TROUBLE")}
	for _, p := range peers {
		row := []string{p.Id, p.Address, peerRole(p), p.Suffrage, "", "", "", "", "", ""}
		if s := p.Status; s != nil {
			row = []string{p.Id, p.Address, peerRole(p), p.Suffrage, contactText(p), fmt.Sprint(s.Term), fmt.Sprint(s.CommitIndex), fmt.Sprint(s.AppliedIndex),
				fmt.Sprintf("%d-%d", s.FirstLogIndex, s.LastLogIndex), indexText(s.SnapshotIndex)}
		}
		if wide {
			row = append(row, p.Status.GetVersion())
		}
		rows = append(rows, append(row, p.Error))
	}
	columns(w, rows)
}

func peerRole(p *sslctlv1.Peer) string {
	switch {
	case p.Leader:
		return "leader"
	case p.Status == nil || p.SilentMs > 0:
		return "silent"
	}
	return "follower"
}

func contactText(p *sslctlv1.Peer) string {
	switch ms := p.Status.LeaderContactMs; {
	case p.Leader:
		return ""
	case ms < 0:
		return "never"
	default:
		return agoText(ms)
	}
}

func indexText(index uint64) string {
	if index == 0 {
		return ""
	}
	return fmt.Sprint(index)
}
