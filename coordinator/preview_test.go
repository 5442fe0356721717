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
	w1, w2 := newScript(t, g.leader(), "w1", 1), newScript(t, g.leader(), "w2", 1)
	// becomes waits until a preview is as wanted while the workers beat: on a slow machine they may seem lost for a moment.
	becomes := func(what, name string, ok func(*pb.PreviewResponse) bool) {
		within(t, what, func() bool {
			w1.beat(nil)
			w2.beat(nil)
			return ok(preview(name, 1))
		})
	}
	becomes("with two workers it starts", "mnist", func(r *pb.PreviewResponse) bool {
		return r.Reason == "" && len(r.Members) == 2 && r.Members[1].VirtualRankLo == 2 && len(r.Workers) == 2 && r.Workers[0].TakesPart && r.Workers[0].Why == "free: rank 0"
	})
	job := submit(t, g.leader(), "mnist", 1)
	becomes("when it is there, nothing starts", "mnist", func(r *pb.PreviewResponse) bool {
		return r.Existing != nil && r.Existing.Uid == job.Uid && len(r.Members) == 0
	})
	becomes("beside it, another one waits", "other", func(r *pb.PreviewResponse) bool {
		return r.Reason != "" && !r.Workers[0].Can && r.Workers[0].Why == "busy with job mnist (priority 0)"
	})
	list := retry(t, func(ctx context.Context) (*connect.Response[pb.ListResponse], error) {
		return jobs(g.leader()).List(ctx, connect.NewRequest(&pb.ListRequest{}))
	})
	if len(list.Jobs) != 1 {
		t.Fatalf("%d jobs after one submission", len(list.Jobs))
	}
}
