package coordinator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// plainHTTP2 speaks HTTP/2 without TLS, as gRPC clients do.
func plainHTTP2(t *testing.T) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func closeIdle() { http.DefaultClient.CloseIdleConnections() }

// Every protocol works at the leader and at a follower, on the one port.
func TestProtocols(t *testing.T) {
	g := newGroup(t, 3)
	submit(t, g.leader(), "mnist", 1)
	for _, n := range []*Node{g.leader(), g.follower()} {
		base := "http://" + n.Address()
		for name, client := range map[string]sslctlv1connect.JobServiceClient{
			"gRPC":          sslctlv1connect.NewJobServiceClient(plainHTTP2(t), base, connect.WithGRPC()),
			"gRPC-Web":      sslctlv1connect.NewJobServiceClient(http.DefaultClient, base, connect.WithGRPCWeb()),
			"Connect":       sslctlv1connect.NewJobServiceClient(http.DefaultClient, base),
			"Connect HTTP2": sslctlv1connect.NewJobServiceClient(plainHTTP2(t), base),
		} {
			res, err := client.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Job: "mnist"}))
			if err != nil || res.Msg.Job.Name != "mnist" {
				t.Fatalf("%s: %v, %v", name, res, err)
			}
			if _, err := client.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Job: "mnits"})); connect.CodeOf(err) != connect.CodeNotFound {
				t.Fatalf("%s: error %v, want not found", name, err)
			}
			stream, err := client.Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{Job: "mnist"}))
			if err != nil || !stream.Receive() || stream.Msg().Job.Name != "mnist" {
				t.Fatalf("%s: watch: %v", name, err)
			}
			stream.Close()
		}
		res, err := http.Post(base+sslctlv1connect.JobServiceListProcedure, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"name":"mnist"`)) {
			t.Fatalf("JSON: %s %s %v", res.Status, body, err)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			res, err := http.Get(base + path)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v %v", path, res, err)
			}
			res.Body.Close()
		}
	}
	cluster := retry(t, func(ctx context.Context) (*connect.Response[pb.GetClusterResponse], error) {
		client := sslctlv1connect.NewClusterServiceClient(http.DefaultClient, "http://"+g.follower().Address())
		return client.GetCluster(ctx, connect.NewRequest(&pb.GetClusterRequest{}))
	})
	if len(cluster.Coordinators) != 3 || cluster.LeaderId != g.leader().cfg.ID || cluster.Cluster != "test" || len(cluster.NatsUrls) != 1 {
		t.Fatalf("cluster: %v", cluster)
	}
}

func TestJobErrors(t *testing.T) {
	g := newGroup(t, 1)
	n := g.leader()
	submit(t, n, "mnist", 1)
	ctx := t.Context()
	for _, test := range []struct {
		name string
		call func() error
		code connect.Code
		want []string
	}{
		{"bad file", func() error {
			_, err := jobs(n).Submit(ctx, connect.NewRequest(&pb.SubmitRequest{SpecYaml: []byte("kind: PretrainJbo\nspec: {worker: {}}\n")}))
			return err
		}, connect.CodeInvalidArgument, []string{"kind", "workers", "metadata.name"}},
		{"bad override", func() error {
			_, err := jobs(n).Submit(ctx, connect.NewRequest(&pb.SubmitRequest{SpecYaml: spec("x", 1), Set: []string{"spec.training.epoch=3"}}))
			return err
		}, connect.CodeInvalidArgument, []string{"epochs"}},
		{"name taken", func() error {
			_, err := jobs(n).Submit(ctx, connect.NewRequest(&pb.SubmitRequest{SpecYaml: spec("mnist", 1)}))
			return err
		}, connect.CodeAlreadyExists, []string{"mnist", "waiting"}},
		{"misspelt", func() error {
			_, err := jobs(n).Get(ctx, connect.NewRequest(&pb.GetRequest{Job: "mnits"}))
			return err
		}, connect.CodeNotFound, []string{`did you mean "mnist"?`}},
		{"nothing near", func() error {
			_, err := jobs(n).Cancel(ctx, connect.NewRequest(&pb.CancelRequest{Job: "zzzzzzzzzz"}))
			return err
		}, connect.CodeNotFound, []string{"sslctl list"}},
		{"no name", func() error {
			_, err := jobs(n).Pause(ctx, connect.NewRequest(&pb.PauseRequest{}))
			return err
		}, connect.CodeInvalidArgument, []string{"name or uid"}},
		{"ended", func() error {
			if _, err := jobs(n).Cancel(ctx, connect.NewRequest(&pb.CancelRequest{Job: "mnist"})); err != nil {
				return err
			}
			if _, err := jobs(n).Cancel(ctx, connect.NewRequest(&pb.CancelRequest{Job: "mnist"})); err != nil {
				return err // cancelling twice is fine
			}
			_, err := jobs(n).Pause(ctx, connect.NewRequest(&pb.PauseRequest{Job: "mnist"}))
			return err
		}, connect.CodeFailedPrecondition, []string{"it has ended as cancelled"}},
	} {
		err := test.call()
		if connect.CodeOf(err) != test.code {
			t.Errorf("%s: error %v, want %s", test.name, err, test.code)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q in it", test.name, err, want)
			}
		}
	}
}
