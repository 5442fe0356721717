package coordinator

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap/zapcore"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

func clusterAt(n *Node) sslctlv1connect.ClusterServiceClient {
	return sslctlv1connect.NewClusterServiceClient(http.DefaultClient, "http://"+n.Address())
}

func listEvents(t *testing.T, n *Node, r *pb.ListEventsRequest) []*pb.Event {
	t.Helper()
	return retry(t, func(ctx context.Context) (*connect.Response[pb.ListEventsResponse], error) {
		return clusterAt(n).ListEvents(ctx, connect.NewRequest(r))
	}).Events
}

// Cordons and events are agreed: they survive the leader and all processes, and followers tell them as the leader does.
func TestCordonsAndEventsSurvive(t *testing.T) {
	g := newGroup(t, 3)
	newScript(t, g.leader(), "w1", 1)
	cordoned := retry(t, func(ctx context.Context) (*connect.Response[pb.CordonWorkerResponse], error) {
		return clusterAt(g.follower()).CordonWorker(ctx, connect.NewRequest(&pb.CordonWorkerRequest{WorkerId: "w1"}))
	}).Worker
	if cordoned.State != "cordoned" || !cordoned.Cordoned {
		t.Fatalf("cordoned: %v", cordoned)
	}
	uid := submit(t, g.leader(), "mnist", 1).Uid
	waiting := await(t, g.leader(), uid, "the reason", func(j *pb.Job) bool { return strings.Contains(j.Reason, "1 is cordoned") })
	g.stop()
	g.start()
	newScript(t, g.leader(), "w1", 2) // a restarted process stays cordoned
	if j := get(t, g.follower(), uid); j.State != pb.JobState_JOB_STATE_WAITING {
		t.Fatalf("the job has begun on a cordoned worker: %v", j)
	}
	var reasons []string
	events := listEvents(t, g.follower(), &pb.ListEventsRequest{})
	for _, e := range events {
		reasons = append(reasons, e.Reason)
	}
	if got := strings.Join(reasons, " "); got != "Registered Cordoned Submitted Waiting Replaced" {
		t.Fatalf("events %s", got)
	}
	if e := events[3]; e.JobUid != uid || e.JobName != "mnist" || e.Message != "waits: "+waiting.Reason || e.UnixMs == 0 {
		t.Fatalf("the wait is told as %v", e)
	}
	if newest := listEvents(t, g.leader(), &pb.ListEventsRequest{Job: "mnist", Limit: 1}); len(newest) != 1 || newest[0].Id != events[3].Id {
		t.Fatalf("the job's newest event is %v", newest)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := clusterAt(g.follower()).WatchEvents(ctx, connect.NewRequest(&pb.WatchEventsRequest{AfterId: events[3].Id}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	retry(t, func(ctx context.Context) (*connect.Response[pb.UncordonWorkerResponse], error) {
		return clusterAt(g.leader()).UncordonWorker(ctx, connect.NewRequest(&pb.UncordonWorkerRequest{WorkerId: "w1"}))
	})
	for _, want := range []string{"Replaced", "Uncordoned"} {
		if !stream.Receive() || stream.Msg().Event.GetReason() != want {
			t.Fatalf("the stream gave %v (%v), want %s", stream.Msg(), stream.Err(), want)
		}
	}
	leader := g.leader()
	var beating sync.WaitGroup
	beating.Go(func() { // heartbeats of others are no news
		ticker := time.NewTicker(streamAlive / 50)
		defer ticker.Stop()
		for ctx.Err() == nil {
			<-ticker.C
			leader.changed.notify()
		}
	})
	defer beating.Wait()
	defer cancel()
	lines, err := sslctlv1connect.NewLogServiceClient(http.DefaultClient, "http://"+g.follower().Address()).Tail(ctx,
		connect.NewRequest(&pb.TailRequest{Job: uid, Follow: true, Level: int32(zapcore.FatalLevel)}))
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	for stream.Receive() && stream.Msg().Event != nil { // the job begins, and its worker is lost
	}
	if !lines.Receive() || len(lines.Msg().Lines) > 0 {
		t.Fatalf("while nothing is logged that is asked for the stream gave %v (%v), want a sign of life", lines.Msg(), lines.Err())
	}
	if stream.Err() != nil {
		t.Fatalf("while nothing happens the stream ends with %v, want a sign of life", stream.Err())
	}
	_, err = clusterAt(g.leader()).CordonWorker(t.Context(), connect.NewRequest(&pb.CordonWorkerRequest{WorkerId: "w2"}))
	if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), `there is no worker "w2": did you mean "w1"?`) {
		t.Fatalf("cordon of an unknown worker: %v", err)
	}
}

// A drain while a job runs: the workers are told to stop as for a pause, the next generation begins at their step without the drained one,
// and a new leader goes on with it.
func TestDrainOutlivesTheLeader(t *testing.T) {
	g := newGroup(t, 3)
	a, b := newScript(t, g.leader(), "w1", 1), newScript(t, g.leader(), "w2", 1)
	patient := &pb.SubmitRequest{SpecYaml: spec("mnist", 1), RequestId: "r", Set: []string{"spec.faultTolerance.detectWithin=20s"}}
	uid := retry(t, func(ctx context.Context) (*connect.Response[pb.SubmitResponse], error) {
		return jobs(g.leader()).Submit(ctx, connect.NewRequest(patient))
	}).Job.Uid
	a.until("an assignment", nil, assigned(1))
	b.until("an assignment", nil, assigned(1))
	step := uint64(0)
	at := func(phase pb.Phase) func(*pb.HeartbeatRequest) {
		return func(m *pb.HeartbeatRequest) {
			m.Phase, m.Step = phase, step
			if m.WorkerId != "w1" || step == 0 {
				return
			}
			m.Ledger = []*pb.LedgerEntry{{Generation: m.Generation, LastStep: step, Digest: "d"}}
			if phase == pb.Phase_PHASE_STOPPED {
				m.Checkpoints = []*pb.Checkpoint{{Step: step, Uri: "file:///ckpt/7", Digest: "d"}}
			}
		}
	}
	running := pb.Phase_PHASE_RUNNING
	step = 3
	a.beat(at(running))
	b.beat(at(running))
	retry(t, func(ctx context.Context) (*connect.Response[pb.CordonWorkerResponse], error) {
		return clusterAt(g.leader()).CordonWorker(ctx, connect.NewRequest(&pb.CordonWorkerRequest{WorkerId: "w2", Drain: true}))
	})
	told := func(res *pb.HeartbeatResponse) bool {
		return res.Assignment.GetDirective() == pb.Directive_DIRECTIVE_PAUSE
	}
	both := func(change func(*pb.HeartbeatRequest)) func(*pb.HeartbeatRequest) { // b's heartbeat with each of a's
		return func(m *pb.HeartbeatRequest) {
			b.beat(change)
			change(m)
		}
	}
	a.until("the word to stop", both(at(running)), told)
	g.kill(g.leader())
	a.n, b.n = g.leader(), g.leader()
	if res := b.beat(at(running)); !told(res) {
		t.Fatalf("under the new leader a worker is told %v", res)
	}
	res := a.until("the next generation", both(at(pb.Phase_PHASE_STOPPED)), assigned(2))
	if next := res.Assignment; next.StartStep != step || len(next.Members) != 1 || next.Directive != pb.Directive_DIRECTIVE_RUN {
		t.Fatalf("the next generation is %v", next)
	}
	if j := get(t, g.follower(), uid); j.StepsRepeated != 0 || !strings.Contains(j.Reason, "worker w2 is draining") {
		t.Fatalf("after the drain: %v", j)
	}
	w := retry(t, func(ctx context.Context) (*connect.Response[pb.GetClusterResponse], error) {
		return clusterAt(g.leader()).GetCluster(ctx, connect.NewRequest(&pb.GetClusterRequest{}))
	}).Workers[1]
	if w.Id != "w2" || w.State != "drained" || w.JobUid != "" {
		t.Fatalf("the drained worker is %v", w)
	}
}
