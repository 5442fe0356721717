package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

const jobFile = `apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  dataset: {uri: file:///x.tar}
  model: {name: mlp}
  task: {name: moco}
  optimizer: {lr: 0.1}
  training: {epochs: 1}
  checkpoint: {uri: file:///c}
`

// scripted is a coordinator's API with answers that the test gives.
type scripted struct {
	sslctlv1connect.UnimplementedJobServiceHandler
	submit func(context.Context, *sslctlv1.SubmitRequest) (*sslctlv1.Job, error)
	get    func(*sslctlv1.GetRequest) (*sslctlv1.Job, error)
	list   func() ([]*sslctlv1.Job, error)
	watch  func(send func(*sslctlv1.Job)) error
	cancel func(job string) (*sslctlv1.Job, error)
	scale  func(*sslctlv1.ScaleRequest) (*sslctlv1.Job, error)
	delete func(*sslctlv1.DeleteRequest) (*sslctlv1.Job, error)

	preview func(*sslctlv1.PreviewRequest) (*sslctlv1.PreviewResponse, error)
}

func (s *scripted) Submit(ctx context.Context, r *connect.Request[sslctlv1.SubmitRequest]) (*connect.Response[sslctlv1.SubmitResponse], error) {
	j, err := s.submit(ctx, r.Msg)
	return connect.NewResponse(&sslctlv1.SubmitResponse{Job: j}), err
}

func (s *scripted) Get(ctx context.Context, r *connect.Request[sslctlv1.GetRequest]) (*connect.Response[sslctlv1.GetResponse], error) {
	if s.get == nil {
		return s.UnimplementedJobServiceHandler.Get(ctx, r)
	}
	j, err := s.get(r.Msg)
	return connect.NewResponse(&sslctlv1.GetResponse{Job: j}), err
}

func (s *scripted) List(context.Context, *connect.Request[sslctlv1.ListRequest]) (*connect.Response[sslctlv1.ListResponse], error) {
	jobs, err := s.list()
	return connect.NewResponse(&sslctlv1.ListResponse{Jobs: jobs}), err
}

func (s *scripted) Cancel(_ context.Context, r *connect.Request[sslctlv1.CancelRequest]) (*connect.Response[sslctlv1.CancelResponse], error) {
	j, err := s.cancel(r.Msg.Job)
	return connect.NewResponse(&sslctlv1.CancelResponse{Job: j}), err
}

func (s *scripted) Scale(_ context.Context, r *connect.Request[sslctlv1.ScaleRequest]) (*connect.Response[sslctlv1.ScaleResponse], error) {
	j, err := s.scale(r.Msg)
	return connect.NewResponse(&sslctlv1.ScaleResponse{Job: j}), err
}

func (s *scripted) Delete(_ context.Context, r *connect.Request[sslctlv1.DeleteRequest]) (*connect.Response[sslctlv1.DeleteResponse], error) {
	j, err := s.delete(r.Msg)
	return connect.NewResponse(&sslctlv1.DeleteResponse{Job: j}), err
}

func (s *scripted) Watch(_ context.Context, _ *connect.Request[sslctlv1.WatchRequest], stream *connect.ServerStream[sslctlv1.WatchResponse]) error {
	var failed error
	err := s.watch(func(j *sslctlv1.Job) {
		if err := stream.Send(&sslctlv1.WatchResponse{Job: j}); err != nil {
			failed = err
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// serve starts the API and returns its address.
func serve(t *testing.T, s *scripted) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(sslctlv1connect.NewJobServiceHandler(s))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// refused is an address where nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// sslctl runs the command in this process.
func sslctl(in string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(in), &out, &err)
	return code, out.String(), err.String()
}

func running(step uint64) *sslctlv1.Job {
	return &sslctlv1.Job{Name: "small", Uid: "7", State: sslctlv1.JobState_JOB_STATE_RUNNING, Step: step, StepsTotal: 40, Epoch: float64(step) / 40,
		EpochsTotal: 1, SamplesPerSecond: 1234, Loss: 7.25}
}

func completed() *sslctlv1.Job {
	return &sslctlv1.Job{
		Name: "small", Uid: "7", State: sslctlv1.JobState_JOB_STATE_COMPLETED, Step: 40, CommittedStep: 40, StepsTotal: 40, Epoch: 1, EpochsTotal: 1,
		Samples: 10240, SamplesPerEpoch: 10300, SamplesUnused: 60, SamplesPerSecond: 1234.5, Loss: 6.5, EpochLosses: []float64{6.875},
		Digest: "0123456789abcdef", DigestStep: 40, Generation: 2, Generations: 2, StepsRepeated: 3, Numerics: "amd64-fma/1",
		Exported: "file:///c/small-7/encoder.safetensors",
		Evaluations: []*sslctlv1.Evaluation{
			{Step: 20, Epoch: 0.5, Values: map[string]float64{"knn.top1": 0.75, "untrained.knn.top1": 0.7, "rawPixel.knn.top1": 0.72}},
			{Step: 40, Epoch: 1, Values: map[string]float64{"knn.top1": 0.8125, "linear.top1": 0.825, "alignment": 0.5, "effectiveRank": 19.25}},
		},
		Members: []*sslctlv1.Member{
			{Rank: 0, WorkerId: "a", VirtualRankLo: 0, VirtualRankHi: 4, Samples: 5120, RingBytesSent: 3 << 20, BankBytes: 1 << 19, Phase: "finished"},
			{Rank: 1, WorkerId: "b", VirtualRankLo: 4, VirtualRankHi: 8, Samples: 5120, RingBytesSent: 3 << 20, BankBytes: 1 << 19, Phase: "finished"},
		},
		Checkpoints: []*sslctlv1.Checkpoint{{Step: 40, Uri: "file:///c/small-7/step-40", Digest: "0123456789abcdef", Bytes: 9 << 20}},
		Shards: []*sslctlv1.ShardAssignment{{Shard: "x-0.tar", FirstSample: 0, Samples: 1287, VirtualRank: 0},
			{Shard: "x-0.tar", FirstSample: 1287, Samples: 1288, VirtualRank: 5}},
	}
}

func TestFailover(t *testing.T) {
	var first, second int
	deposed := serve(t, &scripted{list: func() ([]*sslctlv1.Job, error) {
		first++
		return nil, connect.NewError(connect.CodeUnavailable, context.DeadlineExceeded)
	}})
	leader := serve(t, &scripted{list: func() ([]*sslctlv1.Job, error) {
		second++
		return []*sslctlv1.Job{running(12), completed()}, nil
	}})
	code, stdout, stderr := sslctl("", "list", "--addr", strings.Join([]string{refused(t), deposed, leader}, ","))
	if code != 0 || first != 1 || second != 1 || stderr != "" {
		t.Errorf("exit code %d, asked %d and %d times, stderr %q", code, first, second, stderr)
	}
	compareGolden(t, "testdata/list.txt", stdout)
}

func TestExitCodesOfAnswers(t *testing.T) {
	for answer, want := range map[connect.Code]int{
		connect.CodeNotFound: 5, connect.CodeAlreadyExists: 6, connect.CodeFailedPrecondition: 6, connect.CodeAborted: 6,
		connect.CodeInvalidArgument: 3, connect.CodeInternal: 1, connect.CodeUnavailable: 4,
	} {
		address := serve(t, &scripted{cancel: func(string) (*sslctlv1.Job, error) {
			return nil, connect.NewError(answer, errInput)
		}})
		code, stdout, stderr := sslctl("", "cancel", "x", "--addr", address, "--timeout", "2s")
		if code != want || stdout != "" || !strings.HasPrefix(stderr, "sslctl: cancelling job x: ") || !strings.Contains(stderr, "unusable input") {
			t.Errorf("%v: exit code %d, want %d; stdout %q, stderr %q", answer, code, want, stdout, stderr)
		}
	}
}

// TestSubmitIsRepeatedUnderOneID loses the first answer: the second coordinator must see the same request.
func TestSubmitIsRepeatedUnderOneID(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	note := func(r *sslctlv1.SubmitRequest) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, r.RequestId)
	}
	mute := serve(t, &scripted{submit: func(ctx context.Context, r *sslctlv1.SubmitRequest) (*sslctlv1.Job, error) {
		note(r)
		<-ctx.Done() // until the client gives up
		return nil, ctx.Err()
	}})
	leader := serve(t, &scripted{submit: func(_ context.Context, r *sslctlv1.SubmitRequest) (*sslctlv1.Job, error) {
		note(r)
		return &sslctlv1.Job{Name: "small", Uid: "7", State: sslctlv1.JobState_JOB_STATE_WAITING, Reason: "no workers"}, nil
	}})
	code, stdout, stderr := sslctl(jobFile, "submit", "-", "--detach", "--addr", mute+","+leader, "--timeout", "3s")
	if code != 0 || !strings.Contains(stdout, "small  7    0         waiting") || !strings.Contains(stdout, "no workers") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("request ids %q", ids)
	}
}

// TestSubmitFollows loses the first coordinator's stream and goes on at the second.
func TestSubmitFollows(t *testing.T) {
	submit := func(context.Context, *sslctlv1.SubmitRequest) (*sslctlv1.Job, error) { return running(0), nil }
	first := serve(t, &scripted{submit: submit, watch: func(send func(*sslctlv1.Job)) error {
		send(running(0))
		send(running(10))
		return connect.NewError(connect.CodeUnavailable, errUnreachable)
	}})
	second := serve(t, &scripted{submit: submit, watch: func(send func(*sslctlv1.Job)) error {
		send(running(20))
		send(completed())
		return nil
	}})
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(jobFile), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := sslctl("", "submit", file, "-o", "json", "--addr", first+","+second)
	if code != 0 {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	compareGolden(t, "testdata/completed.json", stdout)
	for _, want := range []string{"job small has uid 7", "small: step 0/40  epoch 0.0/1  1234 samples/s",
		"small: untrained: kNN 70.0 %; raw pixels: kNN 72.0 %", "small: epoch 0.5 (step 20): kNN 75.0 %", "small: step 40/40  completed"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("progress %q lacks %q", stderr, want)
		}
	}

	code, stdout, _ = sslctl("", "submit", file, "--addr", second, "-o", "wide")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	compareGolden(t, "testdata/completed.txt", stdout)
	code, stdout, _ = sslctl("", "submit", file, "--addr", second, "-o", "yaml")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	compareGolden(t, "testdata/completed.yaml", stdout)
}

// TestFollowThroughACutMessage follows at a coordinator that is killed in the middle of a message.
func TestFollowThroughACutMessage(t *testing.T) {
	handler := http.NewServeMux()
	handler.Handle(sslctlv1connect.NewJobServiceHandler(&scripted{watch: func(send func(*sslctlv1.Job)) error {
		send(running(10))
		send(completed())
		return nil
	}}))
	for _, sent := range []float64{0, 0.01, 0.1, 0.5, 0.9} {
		cuts := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if cuts == 2 {
				handler.ServeHTTP(w, r)
				return
			}
			cuts++
			whole := httptest.NewRecorder()
			handler.ServeHTTP(whole, r)
			maps.Copy(w.Header(), whole.Header())
			w.Write(whole.Body.Bytes()[:int(sent*float64(whole.Body.Len()))])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		c, err := newClient([]string{strings.TrimPrefix(server.URL, "http://")}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var last *sslctlv1.Job
		err = c.watch(t.Context(), "7", func(j *sslctlv1.Job) bool {
			last = j
			return ended(j.State)
		})
		if err != nil || !ended(last.GetState()) || cuts != 2 {
			t.Errorf("cut at %v of the messages: %v, last heard of %v after %d cuts", sent, err, last, cuts)
		}
		c.close()
		server.Close()
	}
}

func TestFollowedJobFails(t *testing.T) {
	address := serve(t, &scripted{
		submit: func(context.Context, *sslctlv1.SubmitRequest) (*sslctlv1.Job, error) { return running(0), nil },
		watch: func(send func(*sslctlv1.Job)) error {
			send(&sslctlv1.Job{Name: "small", Uid: "7", State: sslctlv1.JobState_JOB_STATE_FAILED, Reason: "the bucket data does not exist", Loss: math.NaN()})
			return nil
		},
	})
	code, stdout, stderr := sslctl(jobFile, "submit", "-", "-o", "json", "--addr", address)
	if code != 7 || !strings.HasSuffix(stderr, "sslctl: job small has ended as failed: the bucket data does not exist\n") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	var report map[string]any
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report["state"] != "failed" || report["loss"] != nil {
		t.Errorf("%v: state %v, loss %v", err, report["state"], report["loss"])
	}
}

// TestReportNames pins the names that other tools read.
func TestReportNames(t *testing.T) {
	address := serve(t, &scripted{get: func(r *sslctlv1.GetRequest) (*sslctlv1.Job, error) {
		if r.Job != "small" || !r.Wide {
			t.Errorf("asked for %v", r)
		}
		return completed(), nil
	}})
	_, stdout, _ := sslctl("", "status", "small", "-o", "json", "--addr", address)
	var report map[string]any
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("job uid state steps epochs samples samplesPerSecond loss evaluation digest generations stepsRepeated exported") {
		if _, ok := report[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	evaluation, _ := report["evaluation"].(map[string]any)
	if evaluation["knn.top1"] != 0.8125 || evaluation["untrained.knn.top1"] != 0.7 {
		t.Errorf("evaluation is %v", evaluation)
	}
}

// TestWatchNotFound does not try again what will not be found.
func TestWatchNotFound(t *testing.T) {
	address := serve(t, &scripted{watch: func(func(*sslctlv1.Job)) error { return connect.NewError(connect.CodeNotFound, errInput) }})
	c, err := newClient([]string{address}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	err = c.watch(t.Context(), "7", func(*sslctlv1.Job) bool { return false })
	if exitCode(err) != 5 {
		t.Errorf("got %v, exit code %d", err, exitCode(err))
	}
}

// Whoever raises the most workers while no other can take the job is told, since nothing happens then.
func TestScaleSaysWhenNothingHappens(t *testing.T) {
	scaled := running(12)
	scaled.WorkersMin, scaled.WorkersMax, scaled.Members = 1, 4, completed().Members
	address := serve(t, &scripted{scale: func(r *sslctlv1.ScaleRequest) (*sslctlv1.Job, error) {
		if r.Job != "small" || r.WorkersMin != 0 || r.WorkersMax != 4 {
			t.Errorf("asked for %v", r)
		}
		return scaled, nil
	}})
	for reason, want := range map[string]string{
		"":                      "job small goes on with its 2 workers: no other can take it now (sslctl explain small says why)\n",
		"scaled to at most 4 …": "",
	} {
		scaled.Reason = reason
		if code, _, stderr := sslctl("", "scale", "small", "--max", "4", "--addr", address); code != 0 || stderr != want {
			t.Errorf("exit code %d, stderr %q, want %q", code, stderr, want)
		}
	}
}

// TestDeleteIsRepeatedForOneJob loses the answer to a deletion. The repetition is about the same uid, so that no older job of the name goes too,
// and that it is gone is what was wanted.
func TestDeleteIsRepeatedForOneJob(t *testing.T) {
	asked := 0
	address := serve(t, &scripted{
		get:  func(*sslctlv1.GetRequest) (*sslctlv1.Job, error) { return completed(), nil },
		list: func() ([]*sslctlv1.Job, error) { return []*sslctlv1.Job{completed()}, nil },
		delete: func(r *sslctlv1.DeleteRequest) (*sslctlv1.Job, error) {
			if asked++; r.Job != "7" || r.Force {
				t.Errorf("asked for %v", r)
			}
			if asked == 1 {
				return nil, connect.NewError(connect.CodeUnavailable, errUnreachable)
			}
			return nil, connect.NewError(connect.CodeNotFound, errInput)
		},
	})
	code, stdout, stderr := sslctl("", "delete", "small", "--addr", address)
	if code != 0 || asked != 2 || !strings.HasPrefix(stdout, "job small (uid 7) is deleted; it was completed\n") {
		t.Errorf("exit code %d, asked %d times, stdout %q, stderr %q", code, asked, stdout, stderr)
	}
}

// TestDeleteAsksWhichJob: a name that several jobs have names none of them.
func TestDeleteAsksWhichJob(t *testing.T) {
	older := completed()
	older.Uid = "6"
	deleted := ""
	address := serve(t, &scripted{
		get:  func(*sslctlv1.GetRequest) (*sslctlv1.Job, error) { return completed(), nil },
		list: func() ([]*sslctlv1.Job, error) { return []*sslctlv1.Job{older, completed()}, nil },
		delete: func(r *sslctlv1.DeleteRequest) (*sslctlv1.Job, error) {
			deleted += r.Job
			return completed(), nil
		},
	})
	code, stdout, stderr := sslctl("", "delete", "small", "--addr", address)
	want := "sslctl: deleting job small: 2 jobs have this name, with the uids 6 (completed), 7 (completed); name one by its uid: the newest is sslctl delete 7\n"
	if code != 6 || stdout != "" || stderr != want || deleted != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q, deleted %q", code, stdout, stderr, deleted)
	}
	if code, _, stderr := sslctl("", "delete", "7", "--addr", address); code != 0 || deleted != "7" {
		t.Errorf("by its uid: exit code %d, stderr %q, deleted %q", code, stderr, deleted)
	}
}

// TestNothingIsOverwrittenUnasked: a file that is there is refused before any coordinator is asked.
func TestNothingIsOverwrittenUnasked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"export", "small", file}, {"operator", "snapshot", "save", file}} {
		code, stdout, stderr := sslctl("", append(args, "--addr", refused(t), "--timeout", "100ms")...)
		if code != 6 || stdout != "" || !strings.HasSuffix(stderr, file+" is there already; name another file, or --overwrite\n") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
		if code, _, stderr := sslctl("", append(args, "--overwrite", "--addr", refused(t), "--timeout", "100ms")...); code != 4 {
			t.Errorf("%v --overwrite: exit code %d, stderr %q", args, code, stderr)
		}
	}
	if data, err := os.ReadFile(file); string(data) != "precious" || err != nil {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

func TestSamplesOfAJob(t *testing.T) {
	j := &sslctlv1.Job{State: sslctlv1.JobState_JOB_STATE_RUNNING, Samples: 99840, SamplesPerSecond: 112, StartedUnixMs: 1000}
	if got, want := samplesOfJobText(j), "99840, 112 a second"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	j.State, j.EndedUnixMs, j.SamplesUnused = sslctlv1.JobState_JOB_STATE_COMPLETED, 353000, 160
	if got, want := samplesOfJobText(j), "99840, 284 a second from start to end; the last 160 are too few for a batch"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExportLine(t *testing.T) {
	for _, c := range []struct {
		state sslctlv1.JobState
		step  uint64
		want  string
	}{
		{sslctlv1.JobState_JOB_STATE_RUNNING, 100, "small, step 100 of 187 (the job is running): f"},
		{sslctlv1.JobState_JOB_STATE_COMPLETED, 100, "small, step 100 of 187: f"},
		{sslctlv1.JobState_JOB_STATE_COMPLETED, 187, "small, step 187: f"},
	} {
		if got := exportLine(&sslctlv1.Job{Name: "small", State: c.state, StepsTotal: 187}, c.step, "f"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
