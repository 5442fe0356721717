package coordinator

import (
	"fmt"
	"time"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// view shows jobs as the API has them: what is agreed, and for running jobs what the leader has heard last.
type view struct {
	t    *term
	s    *state.State
	seen map[string]planner.Observation
}

func newView(s *state.State, t *term) *view { return &view{t: t, s: s, seen: t.observe(s, time.Now())} }

var jobStates = map[state.JobState]pb.JobState{
	state.Waiting: pb.JobState_JOB_STATE_WAITING, state.Starting: pb.JobState_JOB_STATE_STARTING, state.Running: pb.JobState_JOB_STATE_RUNNING,
	state.Pausing: pb.JobState_JOB_STATE_PAUSING, state.Paused: pb.JobState_JOB_STATE_PAUSED, state.Completed: pb.JobState_JOB_STATE_COMPLETED,
	state.Failed: pb.JobState_JOB_STATE_FAILED, state.Cancelled: pb.JobState_JOB_STATE_CANCELLED,
}

// job shows j; ledger and wide add its ledger and its data shards.
func (v *view) job(j *state.Job, ledger, wide bool) *pb.Job {
	last := j.Last
	step := j.Committed()
	members := make([]*pb.Member, len(j.Members))
	if j.State.Active() {
		final := planner.FinalOf(j, v.seen)
		step, last = max(step, final.Step), final.Figures
		for r := range j.Members {
			f := final.Members[r]
			members[r] = member(j, r, f)
		}
	} else {
		for r, m := range j.Members {
			members[r] = member(j, r, state.MemberFigure{
				Samples: m.Samples, RingBytesSent: m.RingBytesSent, BankBytes: m.BankBytes, Phase: m.Phase, Detail: m.Detail,
			})
		}
	}
	digest, digestStep := j.Ledger.Digest()
	job := &pb.Job{
		Uid: fmt.Sprint(j.UID), Name: j.Name, Labels: j.Labels, State: jobStates[j.State], Reason: v.reason(j), Priority: int32(j.Priority),
		SpecYaml: j.Spec, Step: step, CommittedStep: j.Committed(), EpochsTotal: float64(j.Need.Epochs),
		Samples: j.Committed() * j.Need.GlobalBatch, SamplesPerSecond: float64(last.SamplesPerSecond), Loss: float64(last.Loss),
		EpochLosses: floats(j.EpochLosses), Evaluations: evaluations(j.Evaluations), Digest: digest, DigestStep: digestStep,
		Generation: j.Generation, Generations: j.Generations(), StepsRepeated: j.Repeated, StepsSkipped: j.Ledger.Skipped(), Numerics: j.Numerics,
		Members: members, Exported: j.Exported, CorruptSamples: j.Corrupt,
		WorkersMin: uint32(j.Need.WorkersMin), WorkersMax: uint32(j.Need.WorkersMax), Selector: j.Need.Selector, SinceUnixMs: j.Since(),
		SubmittedUnixMs: j.SubmittedMS, StartedUnixMs: j.StartedMS, EndedUnixMs: j.EndedMS, Metrics: floatMap(last.Metrics),
	}
	if p := j.Plan; p != nil {
		job.StepsTotal, job.SamplesPerEpoch, job.SamplesUnused = p.StepsTotal, p.SamplesPerEpoch, p.SamplesUnused
		if p.SamplesPerEpoch > 0 {
			job.Epoch = float64(step) * float64(j.Need.GlobalBatch) / float64(p.SamplesPerEpoch)
		}
	}
	for _, c := range j.Checkpoints {
		job.Checkpoints = append(job.Checkpoints, &pb.Checkpoint{Step: c.Step, Uri: c.URI, Digest: c.Digest, Bytes: c.Bytes})
	}
	if ledger {
		for e := range j.Ledger.All() {
			job.Ledger = append(job.Ledger, &pb.LedgerEntry{
				Generation: e.Generation, FirstStep: e.First, LastStep: e.Last, Skipped: e.Skipped, Digest: e.Digest, MeanLoss: float64(e.MeanLoss),
			})
		}
	}
	if wide {
		for _, s := range j.Shards {
			job.Shards = append(job.Shards, &pb.ShardAssignment{
				Shard: s.Name, FirstSample: s.FirstSample, Samples: s.Samples, VirtualRank: uint32(s.VirtualRank),
			})
		}
	}
	return job
}

// reason is why j is as it is: what it waits for now, after why it came into its state.
func (v *view) reason(j *state.Job) string {
	if j.State.Ended() || j.State == state.Paused {
		return j.Reason
	}
	live := v.t.reason(j.UID)
	switch {
	case live == "" && j.State != state.Pausing && j.Reform != "": // the planner has not told more yet
		return j.Reform
	case live == "":
		return j.Reason
	case j.State == state.Starting && j.Reason != "" && j.Generations() > 1:
		return live + "; new generation: " + j.Reason
	}
	return live
}

// member is rank r of j.
func member(j *state.Job, r int, f state.MemberFigure) *pb.Member {
	m := j.Members[r]
	return &pb.Member{
		Rank: uint32(r), WorkerId: m.Worker, Incarnation: m.Incarnation, VirtualRankLo: uint32(m.Lo), VirtualRankHi: uint32(m.Hi),
		Samples: f.Samples, RingBytesSent: f.RingBytesSent, BankBytes: f.BankBytes, Phase: f.Phase, Reason: f.Detail,
	}
}

func evaluations(list []state.Evaluation) []*pb.Evaluation {
	out := make([]*pb.Evaluation, len(list))
	for i, e := range list {
		out[i] = &pb.Evaluation{Step: e.Step, Epoch: float64(e.Epoch), Values: floatMap(e.Values), Warning: e.Warning}
	}
	return out
}

func floats(list []state.Number) []float64 {
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = float64(x)
	}
	return out
}

func numbers(list []float64) []state.Number {
	out := make([]state.Number, len(list))
	for i, x := range list {
		out[i] = state.Number(x)
	}
	return out
}

func floatMap(m map[string]state.Number) map[string]float64 {
	out := make(map[string]float64, len(m))
	for k, x := range m {
		out[k] = float64(x)
	}
	return out
}

func numberMap(m map[string]float64) map[string]state.Number {
	out := make(map[string]state.Number, len(m))
	for k, x := range m {
		out[k] = state.Number(x)
	}
	return out
}
