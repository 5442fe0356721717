package coordinator

import (
	"context"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// Preview says what Submit then does, and does nothing itself.
func TestPreview(t *testing.T) {
	g := newGroup(t, 3)
	preview := func(name string, least int) *pb.PreviewResponse {
		return retry(t, func(ctx context.Context) (*connect.Response[pb.PreviewResponse], error) {
			return jobs(g.follower()).Preview(ctx, connect.NewRequest(&pb.PreviewRequest{SpecYaml: spec(name, least)}))
		})
	}
	waits := preview("mnist", 2)
	if waits.Reason == "" || len(waits.Members) != 0 || waits.Existing != nil {
		t.Fatalf("without workers: %v", waits)
	}
	newScript(t, g.leader(), "w1", 1).beat(nil)
	newScript(t, g.leader(), "w2", 1).beat(nil)
	starts := preview("mnist", 1)
	if starts.Reason != "" || len(starts.Members) != 2 || starts.Members[1].VirtualRankLo != 2 || len(starts.Workers) != 2 || !starts.Workers[0].TakesPart || starts.Workers[0].Why != "free: rank 0" {
		t.Fatalf("with two workers: %v", starts)
	}
	job := submit(t, g.leader(), "mnist", 1)
	await(t, g.leader(), job.Uid, "its members", func(j *pb.Job) bool { return len(j.Members) == 2 })
	there := preview("mnist", 1)
	if there.Existing == nil || there.Existing.Uid != job.Uid || len(there.Members) != 0 {
		t.Fatalf("when it is there: %v", there)
	}
	if other := preview("other", 1); other.Reason == "" || other.Workers[0].Can || other.Workers[0].Why != "busy with job mnist (priority 0)" {
		t.Fatalf("beside it: %v", other)
	}
	list := retry(t, func(ctx context.Context) (*connect.Response[pb.ListResponse], error) {
		return jobs(g.leader()).List(ctx, connect.NewRequest(&pb.ListRequest{}))
	})
	if len(list.Jobs) != 1 {
		t.Fatalf("%d jobs after one submission", len(list.Jobs))
	}
}
