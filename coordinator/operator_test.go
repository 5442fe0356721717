package coordinator

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap/zaptest"

	"github.com/sslctl/sslctl/coordinator/snapshot"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

func operator(n *Node) sslctlv1connect.OperatorServiceClient {
	return sslctlv1connect.NewOperatorServiceClient(http.DefaultClient, "http://"+n.Address())
}

func listPeers(t *testing.T, n *Node) *pb.ListPeersResponse {
	t.Helper()
	return retry(t, func(ctx context.Context) (*connect.Response[pb.ListPeersResponse], error) {
		return operator(n).ListPeers(ctx, connect.NewRequest(&pb.ListPeersRequest{}))
	})
}

func remove(n *Node, id string) error {
	_, err := operator(n).RemovePeer(context.Background(), connect.NewRequest(&pb.RemovePeerRequest{Id: id}))
	return err
}

// refusedWith tells whether err is of the code and says text.
func refusedWith(t *testing.T, err error, code connect.Code, text string) {
	t.Helper()
	if connect.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want %v with %q", err, code, text)
	}
}

// Every node answers for itself, whoever is asked for the list.
func TestListPeers(t *testing.T) {
	g := newGroup(t, 3)
	submit(t, g.leader(), "mnist", 2)
	res := listPeers(t, g.follower())
	if len(res.Peers) != 3 || len(res.Absent) != 0 {
		t.Fatalf("peers %v", res)
	}
	for i, p := range res.Peers {
		s := p.Status
		if p.Id != g.ids[i] || p.Address != g.peers[p.Id] || p.Suffrage != "voter" || s == nil || s.Id != p.Id || s.LeaderId != g.leader().cfg.ID || !s.Member {
			t.Fatalf("peer %v", p)
		}
		if p.Leader != (p.Id == g.leader().cfg.ID) || p.Leader != (s.LeaderContactMs == 0) || s.FirstLogIndex != 1 || s.LastLogIndex < 3 {
			t.Fatalf("peer %v", p)
		}
	}
}

// The leadership goes to the one named, once, however often that is asked.
func TestTransferLeadership(t *testing.T) {
	g := newGroup(t, 3)
	from, to := g.leader().cfg.ID, g.follower().cfg.ID
	transfer := func(to string) *pb.TransferLeadershipResponse {
		return retry(t, func(ctx context.Context) (*connect.Response[pb.TransferLeadershipResponse], error) {
			return operator(g.follower()).TransferLeadership(ctx, connect.NewRequest(&pb.TransferLeadershipRequest{From: from, To: to}))
		})
	}
	if got := transfer(to).LeaderId; got != to || g.leader().cfg.ID != to {
		t.Fatalf("%s leads, want %s", got, to)
	}
	if got := transfer("").LeaderId; got != to {
		t.Fatalf("%s leads after a request about a leader of the past, want still %s", got, to)
	}
	_, err := operator(g.leader()).TransferLeadership(t.Context(), connect.NewRequest(&pb.TransferLeadershipRequest{From: to, To: "z"}))
	refusedWith(t, err, connect.CodeNotFound, `no coordinator "z" in the group a, b, c`)
}

// Nothing is removed that the group needs to decide.
func TestRemovePeerRefuses(t *testing.T) {
	g := newGroup(t, 3)
	leader := g.leader()
	refusedWith(t, remove(g.follower(), leader.cfg.ID), connect.CodeFailedPrecondition, "let another one lead first")
	refusedWith(t, remove(leader, "z"), connect.CodeNotFound, `no coordinator "z"`)
	dead := g.follower()
	g.kill(dead)
	refusedWith(t, remove(leader, g.follower().cfg.ID), connect.CodeFailedPrecondition, "of which 1 answer and 2 must")
	if err := remove(leader, dead.cfg.ID); err != nil {
		t.Fatal(err)
	}
	if err := remove(leader, g.follower().cfg.ID); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, remove(leader, leader.cfg.ID), connect.CodeFailedPrecondition, "is the only one")
	submit(t, leader, "alone", 1)
}

// A removed node is told so wherever it asks; it comes back on an empty folder, by request.
func TestRemovedPeerComesBack(t *testing.T) {
	g := newGroup(t, 3)
	uid := submit(t, g.leader(), "mnist", 2).Uid
	gone := g.follower().cfg.ID
	g.kill(g.nodes[gone])
	if err := remove(g.leader(), gone); err != nil {
		t.Fatal(err)
	}
	if absent := listPeers(t, g.leader()).Absent; !slices.Equal(absent, []string{gone}) {
		t.Fatalf("absent %v, want %s", absent, gone)
	}
	start := func(dir string, join bool) *Node {
		n, err := Start(Config{
			ID: gone, Listen: g.peers[gone], Peers: g.peers, DataDir: dir, Join: join, DetectWithin: 400 * time.Millisecond, Cluster: "test",
			Logger: zaptest.NewLogger(t, zaptest.Level(zapLevel)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	add := func() error {
		_, err := operator(g.leader()).AddPeer(t.Context(), connect.NewRequest(&pb.AddPeerRequest{Id: gone}))
		return err
	}
	for _, dir := range []string{g.dirs[gone], t.TempDir()} { // with its old log, and as a group of its own
		n := start(dir, false)
		within(t, "the removed node learns why it has no leader", func() bool { return strings.Contains(n.leaderless(), letIn(gone)) })
		if dir != g.dirs[gone] { // with its old log, it may have heard that it was removed: then it may come back
			refusedWith(t, add(), connect.CodeFailedPrecondition, "--join")
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refusedWith(t, add(), connect.CodeFailedPrecondition, "does not answer")
	n := start(t.TempDir(), true)
	within(t, "a node that joins waits", func() bool { return strings.Contains(n.leaderless(), "waits to be let in") })
	err := add()
	g.nodes[gone] = n // the group's to close from here
	if err != nil {
		t.Fatal(err)
	}
	if again := get(t, n, "mnist"); again.Uid != uid {
		t.Fatalf("job %v at the node that came back, want uid %s", again, uid)
	}
	within(t, "every peer answers after one came back", func() bool {
		return !slices.ContainsFunc(listPeers(t, n).Peers, func(p *pb.Peer) bool { return p.Status == nil || p.SilentMs != 0 })
	})
}

// within waits until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

func save(t *testing.T, n *Node) []byte {
	t.Helper()
	stream, err := operator(n).SaveSnapshot(t.Context(), connect.NewRequest(&pb.SaveSnapshotRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	for stream.Receive() {
		file = append(file, stream.Msg().Data...)
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

func restore(t *testing.T, n *Node, file []byte, force bool) (*pb.RestoreSnapshotResponse, error) {
	t.Helper()
	stream := operator(n).RestoreSnapshot(t.Context())
	for len(file) > 0 {
		piece := file[:min(len(file), 100)]
		if stream.Send(&pb.RestoreSnapshotRequest{Data: piece, Force: force}) != nil {
			break
		}
		file = file[len(piece):]
	}
	res, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// What one group has agreed on goes on in another, at all of its nodes, and no uid comes twice.
func TestSnapshotMovesToAnotherGroup(t *testing.T) {
	old := newGroup(t, 1)
	first := submit(t, old.leader(), "first", 1)
	file := save(t, old.leader())
	lost := submit(t, old.leader(), "lost", 1)

	g := newGroup(t, 3)
	res, err := restore(t, g.follower(), file, false)
	for err != nil && strings.Contains(err.Error(), "leadership lost") { // these nodes bear 100 ms of a busy disk; a person tries again, too
		res, err = restore(t, g.leader(), file, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Jobs) != 1 || res.Jobs[0].Uid != first.Uid || res.Jobs[0].State != pb.JobState_JOB_STATE_WAITING {
		t.Fatalf("restored %v", res)
	}
	for _, n := range g.nodes {
		if got := get(t, n, "first"); got.Uid != first.Uid || got.Generations != 0 {
			t.Fatalf("job %v at %s, want uid %s", got, n.cfg.ID, first.Uid)
		}
	}
	if again := submit(t, g.leader(), "again", 1); again.Uid == lost.Uid {
		t.Fatalf("uid %s came twice", again.Uid)
	}
	g.kill(g.leader())
	if got := get(t, g.leader(), "first"); got.Uid != first.Uid {
		t.Fatalf("job %v after the leader was lost", got)
	}
}

// A restore that cannot be whole, or would replace something unasked, changes nothing.
func TestRestoreRefuses(t *testing.T) {
	g := newGroup(t, 1)
	n := g.leader()
	submit(t, n, "mnist", 1)
	file := save(t, n)
	broken := bytes.Clone(file)
	broken[len(broken)/2] ^= 1
	var other bytes.Buffer
	if err := snapshot.Write(&other, snapshot.Meta{Cluster: "other"}, state.New()); err != nil {
		t.Fatal(err)
	}
	empty := newGroup(t, 1)
	for _, test := range []struct {
		name string
		at   *Node
		file []byte
		code connect.Code
		want string
	}{
		{"jobs are there", n, file, connect.CodeFailedPrecondition, "this cluster has jobs (1)"},
		{"damaged", empty.leader(), broken, connect.CodeInvalidArgument, "the snapshot is damaged"},
		{"short", empty.leader(), file[:len(file)-9], connect.CodeInvalidArgument, "the snapshot is damaged"},
		{"no snapshot", empty.leader(), []byte("hello, I am no snapshot"), connect.CodeInvalidArgument, "not a snapshot"},
		{"another cluster", empty.leader(), other.Bytes(), connect.CodeFailedPrecondition, `of cluster "other"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := save(t, test.at)
			_, err := restore(t, test.at, test.file, false)
			refusedWith(t, err, test.code, test.want)
			_, was, _ := snapshot.Read(bytes.NewReader(before))
			_, is, err := snapshot.Read(bytes.NewReader(save(t, test.at)))
			if err != nil || len(is.Jobs) != len(was.Jobs) || is.Index != was.Index {
				t.Fatalf("the state has changed: %v, before %v (%v)", is, was, err)
			}
		})
	}
	if _, err := restore(t, n, file, true); err != nil {
		t.Fatalf("with force: %v", err)
	}
}
