package e2e

import (
	"context"
	"math"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/sslctl/sslctl/coordinator"
	"github.com/sslctl/sslctl/internal/bus"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
	"github.com/sslctl/sslctl/worker"
)

// inProcess runs the small job on some workers in this process, whose hooks a test may set, and returns its digest.
func inProcess(t *testing.T, workers int, hooks worker.Hooks) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := bus.StartServer(bus.ServerConfig{Name: "bus", ClientListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	node, err := coordinator.Start(coordinator.Config{ID: "c", Listen: "127.0.0.1:0", DataDir: t.TempDir(), NATSURLs: func() []string { return []string{server.ClientURL()} }})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := node.WaitLeader(ctx); err != nil {
		t.Fatal(err)
	}
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for i := range workers {
		running.Go(func() {
			if err := worker.Run(working, worker.Config{ID: string(rune('a' + i)), Coordinators: []string{node.Address()}, Hooks: hooks}); err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	spec, err := os.ReadFile(small(t, "small", "file://"+data, "file://"+t.TempDir(), ""))
	if err != nil {
		t.Fatal(err)
	}
	jobs := sslctlv1connect.NewJobServiceClient(http.DefaultClient, "http://"+node.Address())
	accepted, err := jobs.Submit(ctx, connect.NewRequest(&sslctlv1.SubmitRequest{SpecYaml: spec, Set: []string{"spec.workers.min=" + string(rune('0'+workers))}}))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := jobs.Get(ctx, connect.NewRequest(&sslctlv1.GetRequest{Job: accepted.Msg.Job.Uid}))
		if err != nil {
			t.Fatal(err)
		}
		switch job := got.Msg.Job; job.State {
		case sslctlv1.JobState_JOB_STATE_COMPLETED:
			return job.Digest
		case sslctlv1.JobState_JOB_STATE_FAILED:
			t.Fatalf("the job has failed: %s", job.Reason)
		}
		<-tick.C
	}
}

func TestOneFlippedGradientBitShowsInTheDigest(t *testing.T) {
	want, _ := reference(t)
	flip := func(mask uint32) worker.Hooks {
		return worker.Hooks{Gradient: func(step uint64, virtualRank int, gradient []float32) {
			if step == 5 && virtualRank == 6 {
				gradient[12345] = math.Float32frombits(math.Float32bits(gradient[12345]) ^ mask)
			}
		}}
	}
	if got := inProcess(t, 2, flip(0)); got != want.Digest {
		t.Errorf("with a hook that changes nothing the digest is %s, want %s", got, want.Digest)
	}
	if got := inProcess(t, 2, flip(1<<22)); got == want.Digest {
		t.Error("a flipped bit in one gradient element of one virtual rank in one step left the digest as it was")
	}
}
