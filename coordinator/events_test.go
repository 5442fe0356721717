package coordinator

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

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

	stream, err := clusterAt(g.follower()).WatchEvents(t.Context(), connect.NewRequest(&pb.WatchEventsRequest{AfterId: events[3].Id}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	retry(t, func(ctx context.Context) (*connect.Response[pb.UncordonWorkerResponse], error) {
		return clusterAt(g.leader()).UncordonWorker(ctx, connect.NewRequest(&pb.UncordonWorkerRequest{WorkerId: "w1"}))
	})
	for _, want := range []string{"Replaced", "Uncordoned"} {
		if !stream.Receive() || stream.Msg().Event.Reason != want {
			t.Fatalf("the stream gave %v (%v), want %s", stream.Msg(), stream.Err(), want)
		}
	}
	_, err = clusterAt(g.leader()).CordonWorker(t.Context(), connect.NewRequest(&pb.CordonWorkerRequest{WorkerId: "w2"}))
	if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), `there is no worker "w2": did you mean "w1"?`) {
		t.Fatalf("cordon of an unknown worker: %v", err)
	}
}
