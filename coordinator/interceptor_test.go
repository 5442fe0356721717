package coordinator

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sslctl/sslctl/internal/telemetry"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// One id goes with a request through the follower that passes it on to the leader that answers it, and comes back.
func TestARequestKeepsItsID(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	g := newLoggedGroup(t, 3, zap.New(core))
	follower, leader := g.follower(), g.leader()
	req := connect.NewRequest(&pb.SubmitRequest{SpecYaml: spec("mnist", 1)})
	req.Header().Set(telemetry.RequestHeader, "fromTheUser-1")
	res, err := jobs(follower).Submit(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header().Values(telemetry.RequestHeader); len(got) != 1 || got[0] != "fromTheUser-1" {
		t.Errorf("the answer names the requests %q", got)
	}
	lines := logs.FilterField(telemetry.Request("fromTheUser-1"))
	passed := lines.FilterMessage("pass a request on").FilterField(telemetry.Coordinator(follower.cfg.ID))
	answered := lines.FilterMessage("request").FilterField(telemetry.Coordinator(leader.cfg.ID)).FilterField(zap.String("method", "JobService/Submit")).
		FilterField(zap.String("code", "ok")).FilterField(telemetry.Job(res.Msg.Job.Uid)).FilterField(zap.String("forwarded_by", follower.cfg.ID))
	if lines.Len() != 2 || passed.Len() != 1 || answered.Len() != 1 || answered.All()[0].Level != zapcore.InfoLevel {
		t.Errorf("logged of the request: %v", lines.All())
	}
	// A stream is relayed by another way, and only reads.
	ctx, cancel := context.WithCancel(telemetry.WithRequestID(t.Context(), "stream-2"))
	defer cancel()
	client := &http.Client{Transport: telemetry.SendRequestID(http.DefaultTransport)}
	stream, err := sslctlv1connect.NewJobServiceClient(client, "http://"+follower.Address()).Watch(ctx, connect.NewRequest(&pb.WatchRequest{Job: "mnist"}))
	if err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	cancel()
	for stream.Receive() {
	}
	stream.Close()
	for logs.FilterField(telemetry.Request("stream-2")).FilterField(zap.String("method", "JobService/Watch")).FilterField(zap.String("code", "canceled")).Len() < 2 {
		<-time.After(5 * time.Millisecond) // the follower's and the leader's
	}
	for _, line := range logs.FilterField(telemetry.Request("stream-2")).All() {
		if line.Level != zapcore.DebugLevel {
			t.Errorf("a stream that its reader has left is logged as %v", line)
		}
	}
	// What would disturb the log is replaced.
	req = connect.NewRequest(&pb.SubmitRequest{SpecYaml: spec("cifar", 1)})
	req.Header().Set(telemetry.RequestHeader, "two words")
	if res, err = jobs(leader).Submit(t.Context(), req); err != nil || res.Header().Get(telemetry.RequestHeader) == "two words" {
		t.Errorf("an id of two words: %v, %v", res, err)
	}
}

func TestAnInternalErrorNamesItsRequest(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	g := newLoggedGroup(t, 1, zap.New(core))
	i := &interceptor{g.leader()}
	header := http.Header{}
	header.Set(telemetry.RequestHeader, "abc")
	spec := connect.Spec{Procedure: sslctlv1connect.JobServicePauseProcedure}
	err := i.done(t.Context(), spec, header, time.Now(), []zap.Field{telemetry.Job("7")}, connect.NewError(connect.CodeInternal, errors.New("the disk is full")))
	if connect.CodeOf(err) != connect.CodeInternal || strings.Count(err.Error(), "request abc") != 1 || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("the user sees %v", err)
	}
	if again := i.done(t.Context(), spec, header, time.Now(), []zap.Field{telemetry.Job("7")}, err); again.Error() != err.Error() {
		t.Errorf("relayed, it is %v", again)
	}
	if n := logs.FilterField(telemetry.Request("abc")).FilterField(telemetry.Job("7")).FilterLevelExact(zapcore.ErrorLevel).Len(); n != 2 {
		t.Errorf("%d lines of it are logged as errors", n)
	}
	if err := i.done(t.Context(), spec, header, time.Now(), nil, connect.NewError(connect.CodeNotFound, errors.New("no such job"))); strings.Contains(err.Error(), "abc") {
		t.Errorf("the user's own mistake names a request: %v", err)
	}
	if err := g.leader().recovered(t.Context(), spec, header, "index out of range"); connect.CodeOf(err) != connect.CodeInternal ||
		logs.FilterMessage("panic").FilterField(telemetry.Request("abc")).Len() != 1 {
		t.Errorf("a panic: %v", err)
	}
}
