package coordinator

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// script is a worker that says what a test wants.
type script struct {
	t           *testing.T
	n           *Node
	id          string
	incarnation uint64
	every       time.Duration
	assignment  *pb.Assignment
}

func newScript(t *testing.T, n *Node, id string, incarnation uint64) *script {
	t.Helper()
	s := &script{t: t, n: n, id: id, incarnation: incarnation}
	res := retry(t, func(ctx context.Context) (*connect.Response[pb.RegisterResponse], error) {
		return workers(n).Register(ctx, connect.NewRequest(&pb.RegisterRequest{
			WorkerId: id, Incarnation: incarnation, Numerics: []string{"amd64-fma/1", "portable/1"}, Cores: 2, Host: "here",
		}))
	})
	if res.Cluster != "test" || !slices.Equal(res.NatsUrls, []string{"nats://127.0.0.1:4222"}) {
		t.Fatalf("registered: %v", res)
	}
	s.every = time.Duration(res.HeartbeatMs) * time.Millisecond
	if s.every <= 0 || s.every > 100*time.Millisecond {
		t.Fatalf("heartbeats every %s, with detectWithin 400ms", s.every)
	}
	return s
}

// beat sends one heartbeat about the current assignment, and takes over the next one.
func (s *script) beat(change func(*pb.HeartbeatRequest)) *pb.HeartbeatResponse {
	s.t.Helper()
	res := retry(s.t, func(ctx context.Context) (*connect.Response[pb.HeartbeatResponse], error) {
		return workers(s.n).Heartbeat(ctx, connect.NewRequest(s.request(change)))
	})
	s.assignment = res.Assignment
	return res
}

func (s *script) request(change func(*pb.HeartbeatRequest)) *pb.HeartbeatRequest {
	m := &pb.HeartbeatRequest{WorkerId: s.id, Incarnation: s.incarnation}
	if a := s.assignment; a != nil {
		m.JobUid, m.Generation, m.Phase = a.JobUid, a.Generation, pb.Phase_PHASE_PREPARING
	}
	if change != nil {
		change(m)
	}
	return m
}

// until beats until the answer is as ok wants it.
func (s *script) until(what string, change func(*pb.HeartbeatRequest), ok func(*pb.HeartbeatResponse) bool) *pb.HeartbeatResponse {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	pace := time.NewTicker(s.every)
	defer pace.Stop()
	for {
		res := s.beat(change)
		if ok(res) {
			return res
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			s.t.Fatalf("worker %s waited for %s, last answer %v", s.id, what, res)
		}
	}
}

func assigned(generation uint64) func(*pb.HeartbeatResponse) bool {
	return func(res *pb.HeartbeatResponse) bool { return res.Assignment.GetGeneration() == generation }
}

func phase(p pb.Phase) func(*pb.HeartbeatRequest) {
	return func(m *pb.HeartbeatRequest) { m.Phase = p }
}

// The whole conversation of one worker with the group, from its registration to the end of a job.
func TestHeartbeatProtocol(t *testing.T) {
	g := newGroup(t, 1)
	n := g.leader()
	w := newScript(t, n, "w1", 1)
	job := submit(t, n, "mnist", 1)
	w.until("its assignment", nil, assigned(1))
	a := w.assignment
	if a.JobUid != job.Uid || a.StartStep != 0 || a.Source != "" || a.Numerics != "amd64-fma/1" || a.Directive != pb.Directive_DIRECTIVE_RUN ||
		len(a.Members) != 1 || a.Members[0].VirtualRankLo != 0 || a.Members[0].VirtualRankHi != 4 || len(a.SpecYaml) == 0 {
		t.Fatalf("assignment %v", a)
	}
	w.beat(func(m *pb.HeartbeatRequest) {
		m.PhaseDetail = "indexing 3/10"
		m.Plan = &pb.Plan{SamplesPerEpoch: 100, StepsTotal: 12, SamplesUnused: 8, Shards: []*pb.ShardAssignment{{Shard: "train-0.tar", Samples: 100}}}
	})
	if j := await(t, n, "mnist", "its plan", func(j *pb.Job) bool { return j.StepsTotal == 12 }); j.Members[0].Reason != "indexing 3/10" {
		t.Fatalf("member %v", j.Members[0])
	}
	running := func(m *pb.HeartbeatRequest) {
		m.Phase, m.Step, m.Loss, m.SamplesPerSecond, m.Samples, m.RingBytesSent, m.BankBytes = pb.Phase_PHASE_RUNNING, 5, math.NaN(), 320, 80, 0, 16384
		m.Ledger = []*pb.LedgerEntry{
			{Generation: 1, FirstStep: 0, LastStep: 2, Digest: "02", MeanLoss: 3},
			{Generation: 1, FirstStep: 2, LastStep: 4, Digest: "04", MeanLoss: 2.5, Skipped: 1},
		}
		m.Checkpoints = []*pb.Checkpoint{{Step: 4, Uri: "ckpt/4", Digest: "c4", Bytes: 10}, {Step: 6, Uri: "ckpt/6"}}
		m.Evaluations = []*pb.Evaluation{{Step: 0, Values: map[string]float64{"untrained.knn.top1": 0.5, "rawPixel.knn.top1": 0.6}}, {Step: 6}}
		m.Metrics = map[string]float64{"bank.stalenessMean": 2}
	}
	for range 3 { // at least once
		res := w.beat(running)
		if res.AcknowledgedStep != 4 || !res.HasCheckpoint || res.AcknowledgedCheckpointStep != 4 || !res.HasEvaluation || res.AcknowledgedEvaluationStep != 0 {
			t.Fatalf("acknowledged %v", res)
		}
	}
	index := n.fsm.state.Load().Index
	w.beat(running)
	if again := n.fsm.state.Load().Index; again != index {
		t.Errorf("a repeated heartbeat took %d entries of the log", again-index)
	}
	j := get(t, n, "mnist")
	if j.State != pb.JobState_JOB_STATE_RUNNING || j.Step != 5 || j.CommittedStep != 4 || j.Samples != 64 || !math.IsNaN(j.Loss) || j.SamplesPerSecond != 320 ||
		j.StepsSkipped != 1 || j.Digest != "04" || j.DigestStep != 4 || len(j.Ledger) != 2 || len(j.Shards) != 1 || len(j.Checkpoints) != 1 ||
		j.Members[0].BankBytes != 16384 || j.Metrics["bank.stalenessMean"] != 2 || math.Abs(j.Epoch-0.8) > 1e-12 {
		t.Fatalf("job %v", j)
	}
	if a := w.assignment; !a.FloorsKnown || a.CommittedStep != 4 {
		t.Fatalf("assignment %v", a)
	}

	// Pause at step 7, resume.
	if _, err := jobs(n).Pause(t.Context(), connect.NewRequest(&pb.PauseRequest{Job: "mnist"})); err != nil {
		t.Fatal(err)
	}
	if res := w.beat(running); res.Assignment.Directive != pb.Directive_DIRECTIVE_PAUSE {
		t.Fatalf("directive %v, want pause", res.Assignment)
	}
	stopped := func(m *pb.HeartbeatRequest) {
		m.Phase, m.Step, m.Samples = pb.Phase_PHASE_STOPPED, 7, 112
		m.Ledger = []*pb.LedgerEntry{{Generation: 1, FirstStep: 4, LastStep: 7, Digest: "07"}}
		m.Checkpoints = []*pb.Checkpoint{{Step: 7, Uri: "ckpt/7", Digest: "c7"}}
		m.RemovedCheckpoints = []string{"ckpt/4"}
	}
	was := w.assignment
	w.until("the end of its assignment", stopped, func(res *pb.HeartbeatResponse) bool {
		return res.Assignment == nil || res.Assignment.Directive == pb.Directive_DIRECTIVE_STOP
	})
	await(t, n, "mnist", "paused", func(j *pb.Job) bool {
		return j.State == pb.JobState_JOB_STATE_PAUSED && len(j.Checkpoints) == 1 && j.CommittedStep == 7 && j.Members[0].Samples == 112
	})
	if _, err := jobs(n).Resume(t.Context(), connect.NewRequest(&pb.ResumeRequest{Job: "mnist"})); err != nil {
		t.Fatal(err)
	}
	w.assignment = nil
	w.until("the next generation", nil, assigned(2))
	if a := w.assignment; a.StartStep != 7 || a.Source != "ckpt/7" || a.SourceDigest != "c7" || len(a.Evaluations) != 1 {
		t.Fatalf("assignment %v", a)
	}

	// A message of the old generation changes nothing.
	now := w.assignment
	w.assignment = was
	if res := w.beat(func(m *pb.HeartbeatRequest) {
		m.Ledger = []*pb.LedgerEntry{{Generation: 1, FirstStep: 7, LastStep: 12}}
	}); res.AcknowledgedStep != 0 || res.Assignment.Generation != 2 {
		t.Fatalf("answer to the old generation %v", res)
	}
	w.assignment = now

	// The end.
	w.until("the end of the job", func(m *pb.HeartbeatRequest) {
		m.Phase, m.Step, m.Samples, m.Loss = pb.Phase_PHASE_FINISHED, 12, 80, 1.5
		m.Ledger = []*pb.LedgerEntry{{Generation: 2, FirstStep: 7, LastStep: 12, Digest: "0c"}}
		m.EpochLosses = []float64{3, 2}
		m.Exported = "export/encoder.safetensors"
	}, func(res *pb.HeartbeatResponse) bool {
		return res.Assignment.GetDirective() == pb.Directive_DIRECTIVE_STOP
	})
	j = await(t, n, "mnist", "completed", func(j *pb.Job) bool { return j.State == pb.JobState_JOB_STATE_COMPLETED })
	if j.Exported != "export/encoder.safetensors" || j.Step != 12 || j.Loss != 1.5 || j.Members[0].Phase != "finished" || len(j.EpochLosses) != 2 ||
		j.Generations != 2 || j.StepsRepeated != 0 || j.EndedUnixMs == 0 || j.StartedUnixMs == 0 {
		t.Fatalf("job %v", j)
	}
	w.assignment = nil
	if res := w.beat(nil); res.Assignment != nil {
		t.Fatalf("an idle worker was told %v", res)
	}
}

// A silent worker costs a generation; a replaced process is refused; an unknown one registers again.
func TestLostAndReplacedWorkers(t *testing.T) {
	g := newGroup(t, 3)
	n := g.follower()
	w1, w2 := newScript(t, n, "w1", 1), newScript(t, n, "w2", 1)
	submit(t, n, "mnist", 2)
	w1.until("an assignment", nil, assigned(1))
	w2.until("an assignment", nil, assigned(1))
	if w1.assignment.Rank != 0 || w2.assignment.Rank != 1 {
		t.Fatalf("ranks %d and %d", w1.assignment.Rank, w2.assignment.Rank)
	}
	// w2 falls silent.
	w1.until("the end of the generation", phase(pb.Phase_PHASE_RUNNING), func(res *pb.HeartbeatResponse) bool {
		return res.Assignment.GetDirective() == pb.Directive_DIRECTIVE_STOP
	})
	w1.assignment = nil
	// It comes back as another process; the old one wakes up later.
	again := newScript(t, n, "w2", 2)
	again.until("an assignment", nil, func(res *pb.HeartbeatResponse) bool { w1.beat(nil); return assigned(2)(res) })
	_, err := workers(n).Heartbeat(t.Context(), connect.NewRequest(w2.request(nil)))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Fatalf("the replaced process was answered %v", err)
	}
	stranger := &script{t: t, n: n, id: "w9", incarnation: 1}
	if res := stranger.beat(nil); !res.RegisterAgain {
		t.Fatalf("an unknown worker was answered %v", res)
	}
	// The leader dies; the workers go on in the same generation.
	g.kill(g.leader())
	leader := g.leader()
	w1.n, again.n = leader, leader
	for _, w := range []*script{w1, again} {
		w.until("the same generation at the new leader", phase(pb.Phase_PHASE_RUNNING), assigned(2))
	}
	j := await(t, leader, "mnist", "running", func(j *pb.Job) bool {
		w1.beat(phase(pb.Phase_PHASE_RUNNING))
		again.beat(phase(pb.Phase_PHASE_RUNNING))
		return j.State == pb.JobState_JOB_STATE_RUNNING
	})
	if j.Generation != 2 || fmt.Sprint(j.Members[0].WorkerId, j.Members[1].WorkerId) != "w1w2" {
		t.Fatalf("job %v", j)
	}
}
