package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// spec is a job file that needs min workers.
func spec(name string, min int) []byte {
	return fmt.Appendf(nil, `apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: %s}
spec:
  workers: {min: %d, max: 4}
  dataset: {uri: "file:///data/train-*.tar"}
  model: {name: mlp}
  task: {name: moco, bank: {size: 64}}
  optimizer: {lr: 0.01}
  training: {epochs: 2, globalBatch: 16, virtualRanks: 4}
  faultTolerance: {detectWithin: 400ms}
  checkpoint: {uri: "file:///ckpt"}
`, name, min)
}

// group is a coordinator group in this process.
type group struct {
	t     *testing.T
	ids   []string
	dirs  map[string]string
	peers map[string]string
	nodes map[string]*Node // those that run
	log   *zap.Logger
}

// newGroup starts a group of n nodes on loopback, and waits for a leader.
func newGroup(t *testing.T, n int) *group {
	t.Helper()
	return newLoggedGroup(t, n, zaptest.NewLogger(t, zaptest.Level(zapLevel)))
}

func newLoggedGroup(t *testing.T, n int, log *zap.Logger) *group {
	t.Helper()
	g := &group{t: t, dirs: map[string]string{}, nodes: map[string]*Node{}, log: log}
	for i := range n {
		id := string(rune('a' + i))
		g.ids = append(g.ids, id)
		g.dirs[id] = t.TempDir()
	}
	t.Cleanup(g.stop)
	g.start()
	return g
}

// start starts all nodes on new ports, from whatever is in their folders.
func (g *group) start() {
	g.t.Helper()
	listeners := map[string]net.Listener{}
	g.peers = map[string]string{}
	for _, id := range g.ids {
		listeners[id] = listen(g.t)
		g.peers[id] = listeners[id].Addr().String()
	}
	for _, id := range g.ids {
		n, err := Start(Config{
			ID: id, Listener: listeners[id], Peers: g.peers, DataDir: g.dirs[id], DetectWithin: 400 * time.Millisecond, Cluster: "test",
			NATSURLs: func() []string { return []string{"nats://127.0.0.1:4222"} }, Logger: g.log,
		})
		if err != nil {
			g.t.Fatal(err)
		}
		g.nodes[id] = n
	}
	g.leader()
}

func (g *group) stop() {
	for id, n := range g.nodes {
		if err := n.Close(); err != nil {
			g.t.Errorf("close %s: %v", id, err)
		}
		delete(g.nodes, id)
	}
}

// kill ends a node without handing anything over.
func (g *group) kill(n *Node) {
	g.t.Helper()
	n.close.Do(func() {
		defer close(n.done)
		if err := n.shutdown(); err != nil {
			g.t.Error(err)
		}
	})
	delete(g.nodes, n.cfg.ID)
}

// leader waits until the running nodes agree on a leader that is one of them.
func (g *group) leader() *Node {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	var leader *Node
	for _, n := range g.nodes {
		for {
			change := n.changed.next()
			if l := g.nodes[n.leader()]; l != nil && l.IsLeader() && (leader == nil || leader == l) {
				leader = l
				break
			}
			leader = nil
			for _, o := range g.nodes {
				if o.IsLeader() {
					leader = o
				}
			}
			if leader != nil && n.leader() == leader.cfg.ID {
				break
			}
			select {
			case <-change:
			case <-time.After(50 * time.Millisecond): // the change may be at another node
			case <-ctx.Done():
				g.t.Fatalf("no leader: %s", n.leaderless())
			}
		}
	}
	return leader
}

// follower is a running node that does not lead.
func (g *group) follower() *Node {
	g.t.Helper()
	leader := g.leader()
	for _, id := range g.ids {
		if n := g.nodes[id]; n != nil && n != leader {
			return n
		}
	}
	g.t.Fatal("no follower runs")
	return nil
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func jobs(n *Node) sslctlv1connect.JobServiceClient {
	return sslctlv1connect.NewJobServiceClient(http.DefaultClient, "http://"+n.Address())
}

func workers(n *Node) sslctlv1connect.WorkerServiceClient {
	return sslctlv1connect.NewWorkerServiceClient(http.DefaultClient, "http://"+n.Address())
}

// retry repeats a call while the group is unavailable, as clients do.
func retry[T any](t *testing.T, call func(ctx context.Context) (*connect.Response[T], error)) *T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		res, err := call(ctx)
		if err == nil {
			return res.Msg
		}
		if connect.CodeOf(err) != connect.CodeUnavailable || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func submit(t *testing.T, n *Node, name string, min int) *pb.Job {
	t.Helper()
	return retry(t, func(ctx context.Context) (*connect.Response[pb.SubmitResponse], error) {
		return jobs(n).Submit(ctx, connect.NewRequest(&pb.SubmitRequest{SpecYaml: spec(name, min), RequestId: t.Name() + name}))
	}).Job
}

func get(t *testing.T, n *Node, key string) *pb.Job {
	t.Helper()
	return retry(t, func(ctx context.Context) (*connect.Response[pb.GetResponse], error) {
		return jobs(n).Get(ctx, connect.NewRequest(&pb.GetRequest{Job: key, Ledger: true, Wide: true}))
	}).Job
}

// await waits at node n until the job is as ok wants it.
func await(t *testing.T, n *Node, key, what string, ok func(*pb.Job) bool) *pb.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last *pb.Job
	for ctx.Err() == nil {
		stream, err := jobs(n).Watch(ctx, connect.NewRequest(&pb.WatchRequest{Job: key}))
		for err == nil && stream.Receive() {
			if last = stream.Msg().Job; ok(last) {
				stream.Close()
				return last
			}
		}
		if err == nil {
			err = errors.Join(stream.Err(), stream.Close())
		}
		if connect.CodeOf(err) != connect.CodeUnavailable {
			break
		}
	}
	t.Fatalf("job %s: waited for %s, it is %v", key, what, last)
	return nil
}
