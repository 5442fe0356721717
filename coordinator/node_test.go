package coordinator

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// zapLevel is what the nodes of these tests log.
const zapLevel = zap.WarnLevel

// What was acknowledged survives the leader and all processes.
func TestAcknowledgedJobSurvives(t *testing.T) {
	g := newGroup(t, 3)
	job := submit(t, g.follower(), "mnist", 2)
	if job.State != pb.JobState_JOB_STATE_WAITING || job.Uid == "" {
		t.Fatalf("submitted: %v", job)
	}
	g.kill(g.leader())
	leader := g.leader()
	for _, n := range g.nodes {
		if again := get(t, n, "mnist"); again.Uid != job.Uid {
			t.Fatalf("uid %s at %s after the leader was lost, want %s", again.Uid, n.cfg.ID, job.Uid)
		}
	}
	if again := submit(t, leader, "mnist", 2); again.Uid != job.Uid {
		t.Fatalf("the same request made job %s, want %s", again.Uid, job.Uid)
	}
	g.stop()
	g.start()
	if again := get(t, g.follower(), job.Uid); again.Name != "mnist" || again.Reason != "needs 2 workers; no worker is registered" {
		t.Fatalf("after a restart of all: %v", again)
	}
	list := retry(t, func(ctx context.Context) (*connect.Response[pb.ListResponse], error) {
		return jobs(g.leader()).List(ctx, connect.NewRequest(&pb.ListRequest{}))
	})
	if len(list.Jobs) != 1 {
		t.Fatalf("%d jobs, want 1", len(list.Jobs))
	}
}

// A group that has put its log into snapshots comes back from them.
func TestRestoresFromSnapshot(t *testing.T) {
	g := newGroup(t, 3)
	uid := submit(t, g.leader(), "first", 2).Uid
	leader := g.leader()
	if err := leader.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if list, err := leader.disk.snapshots.List(); err != nil || len(list) != 1 {
		t.Fatalf("snapshots on disk: %v, %v", list, err)
	}
	second := submit(t, leader, "second", 2).Uid
	g.stop()
	g.start()
	for _, id := range g.ids {
		if got := get(t, g.nodes[id], "first").Uid; got != uid {
			t.Fatalf("uid %s, want %s", got, uid)
		}
		if got := get(t, g.nodes[id], "second").Uid; got != second {
			t.Fatalf("uid %s, want %s", got, second)
		}
	}
}

// Without a majority nothing is acknowledged, and the answer says why.
func TestNoMajority(t *testing.T) {
	g := newGroup(t, 3)
	left := g.follower()
	for _, n := range g.nodes {
		if n != left {
			g.kill(n)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for left.leader() != "" {
		select {
		case <-left.changed.next():
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the leader that was lost is still believed in")
		}
	}
	_, err := jobs(left).List(ctx, connect.NewRequest(&pb.ListRequest{}))
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "have no leader") {
		t.Fatalf("error %v, want unavailable with the reason", err)
	}
}

// Close leaves nothing behind.
func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	g := newGroup(t, 3)
	submit(t, g.follower(), "mnist", 1)
	stream, err := jobs(g.follower()).Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{Job: "mnist"}))
	if err != nil || !stream.Receive() {
		t.Fatalf("watch: %v", err)
	}
	g.stop()
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Fatalf("a watch ended with %v, want unavailable", stream.Err())
	}
	stream.Close()
	closeIdle()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

func TestStartErrors(t *testing.T) {
	taken := listen(t)
	defer taken.Close()
	dir := t.TempDir()
	inUse, err := Start(Config{ID: "a", Listen: "127.0.0.1:0", DataDir: dir, Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	closed, ofTwo := t.TempDir(), t.TempDir()
	for dir, peers := range map[string]map[string]string{closed: nil, ofTwo: {"a": "127.0.0.1:1", "b": "127.0.0.1:2"}} {
		if n, err := Start(Config{ID: "a", Listen: "127.0.0.1:0", DataDir: dir, Peers: peers}); err != nil {
			t.Fatal(err)
		} else if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"port taken", Config{ID: "b", Listen: taken.Addr().String(), DataDir: t.TempDir()}, "address already in use"},
		{"no id", Config{Listen: "127.0.0.1:0", DataDir: t.TempDir()}, "has no id"},
		{"folder is a file", Config{ID: "b", Listen: "127.0.0.1:0", DataDir: filepath.Join(file, "x")}, "cannot make the data folder"},
		{"folder in use", Config{ID: "a", Listen: "127.0.0.1:0", DataDir: dir, Cluster: "test"}, "in use by another process"},
		{"another's folder", Config{ID: "b", Listen: "127.0.0.1:0", DataDir: closed}, "belongs to coordinator a"},
		{"another group's folder", Config{ID: "a", Listen: "127.0.0.1:0", DataDir: ofTwo, Peers: map[string]string{"a": "127.0.0.1:1", "c": "127.0.0.1:2"}},
			"belongs to a group of the coordinators a, b, the peers given are a, c: b is missing"},
		{"not a peer", Config{ID: "c", Listen: "127.0.0.1:0", DataDir: t.TempDir(), Peers: map[string]string{"a": "127.0.0.1:1"}}, "is not among the peers a=127.0.0.1:1"},
		{"bad address", Config{ID: "a", Listen: "127.0.0.1:0", DataDir: t.TempDir(), Peers: map[string]string{"a": "here"}}, "expected host:port"},
		{"one address twice", Config{ID: "a", Listen: "127.0.0.1:0", DataDir: t.TempDir(), Peers: map[string]string{"a": "h:1", "b": "h:1"}}, "have the same address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := Start(test.cfg)
			if err == nil {
				n.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %q", err, test.want)
			}
		})
	}
}

// Coordinators that were given different peers refuse each other with a sentence.
func TestWrongPeers(t *testing.T) {
	g := newGroup(t, 1)
	addr := g.peers["a"]
	for _, test := range []struct{ name, cluster, as, want string }{
		{"another cluster", "other", "a", `is of cluster "test"`},
		{"another node", "test", "c", "takes this address for c, it is a"},
		{"unknown", "test", "a", "is not among the peers of a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln := listen(t)
			n, err := Start(Config{
				ID: "b", Listener: ln, DataDir: t.TempDir(), Cluster: test.cluster, DetectWithin: 400 * time.Millisecond,
				Peers: map[string]string{"b": ln.Addr().String(), test.as: addr},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for !strings.Contains(n.leaderless(), test.want) {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
					t.Fatalf("%q, want %q", n.leaderless(), test.want)
				}
			}
		})
	}
}
