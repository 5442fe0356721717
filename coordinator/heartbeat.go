package coordinator

import (
	"slices"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

var phases = map[pb.Phase]planner.Phase{
	pb.Phase_PHASE_PREPARING: planner.Preparing, pb.Phase_PHASE_READY: planner.Ready, pb.Phase_PHASE_RUNNING: planner.Running,
	pb.Phase_PHASE_STOPPED: planner.Stopped, pb.Phase_PHASE_FINISHED: planner.Finished, pb.Phase_PHASE_FAILED: planner.Failed,
}

// report is the part of a heartbeat that only the leader keeps, nil if the worker is idle.
func report(m *pb.HeartbeatRequest, uid uint64) *planner.Report {
	if m.JobUid == "" {
		return nil
	}
	r := &planner.Report{
		Job: uid, Generation: m.Generation, Phase: phases[m.Phase], Detail: m.PhaseDetail, Step: m.Step,
		Figures: state.Figures{
			Loss: state.Number(m.Loss), SamplesPerSecond: state.Number(m.SamplesPerSecond), Metrics: numberMap(m.Metrics),
		},
		Samples: m.Samples, RingBytesSent: m.RingBytesSent, BankBytes: m.BankBytes,
	}
	if m.Phase == pb.Phase_PHASE_FAILED || m.Failure != nil {
		r.Failure = &planner.Failure{Permanent: m.Failure.GetPermanent(), Message: m.Failure.GetMessage()}
		if r.Failure.Message == "" {
			r.Failure.Message = "failed without saying why"
		}
	}
	return r
}

// news is the part of a heartbeat that the group does not know yet and must agree on, nil if there is none. What concerns another
// generation than the current one does not even get into the log.
func news(s *state.State, m *pb.HeartbeatRequest, uid uint64) *state.Progress {
	j, rank := s.Assigned(m.WorkerId, m.Incarnation)
	if j == nil || rank != 0 || j.UID != uid || j.Generation != m.Generation {
		return nil
	}
	c := &state.Progress{Job: uid, Generation: m.Generation, Worker: m.WorkerId, Incarnation: m.Incarnation}
	empty := true
	if p := m.Plan; p != nil && j.PlanGeneration != m.Generation {
		c.Plan = &state.Plan{SamplesPerEpoch: p.SamplesPerEpoch, StepsTotal: p.StepsTotal, SamplesUnused: p.SamplesUnused}
		for _, a := range p.Shards {
			c.Shards = append(c.Shards, state.Shard{Name: a.Shard, FirstSample: a.FirstSample, Samples: a.Samples, VirtualRank: int(a.VirtualRank)})
		}
		empty = false
	}
	committed := j.Committed()
	for _, e := range m.Ledger {
		if e.LastStep > committed {
			c.Ledger = append(c.Ledger, state.Entry{
				Generation: e.Generation, First: e.FirstStep, Last: e.LastStep, Skipped: e.Skipped, Digest: e.Digest, MeanLoss: state.Number(e.MeanLoss),
			})
		}
	}
	if n := len(c.Ledger); n > 0 {
		committed = c.Ledger[n-1].Last
	}
	for _, k := range m.Checkpoints { // what is ahead of the ledger comes again
		if k.Step > committed {
			continue
		}
		if len(j.Checkpoints) == 0 || k.Step > j.Newest().Step {
			c.Checkpoints = append(c.Checkpoints, state.Checkpoint{Step: k.Step, URI: k.Uri, Digest: k.Digest, Bytes: k.Bytes})
		}
	}
	for _, uri := range m.RemovedCheckpoints {
		if i := slices.IndexFunc(j.Checkpoints, func(k state.Checkpoint) bool { return k.URI == uri }); i >= 0 && (i < len(j.Checkpoints)-1 || len(c.Checkpoints) > 0) {
			c.Removed = append(c.Removed, uri)
		}
	}
	for _, e := range m.Evaluations {
		if e.Step <= committed && !evaluated(j, e) {
			c.Evaluations = append(c.Evaluations, state.Evaluation{Step: e.Step, Epoch: state.Number(e.Epoch), Values: numberMap(e.Values), Warning: e.Warning})
		}
	}
	if len(m.EpochLosses) > len(j.EpochLosses) {
		c.EpochLosses = numbers(m.EpochLosses)
	}
	for _, sample := range m.CorruptSamples {
		if _, known := slices.BinarySearch(j.Corrupt, sample); !known {
			c.Corrupt = append(c.Corrupt, sample)
		}
	}
	if m.Exported != "" && m.Exported != j.Exported {
		c.Exported = m.Exported
	}
	if empty && len(c.Ledger)+len(c.Checkpoints)+len(c.Removed)+len(c.Evaluations)+len(c.EpochLosses)+len(c.Corrupt) == 0 && c.Exported == "" {
		return nil
	}
	return c
}

// evaluated tells whether all values of e are committed.
func evaluated(j *state.Job, e *pb.Evaluation) bool {
	for _, known := range j.Evaluations {
		if known.Step != e.Step {
			continue
		}
		for name := range e.Values {
			if _, ok := known.Values[name]; !ok {
				return false
			}
		}
		return true
	}
	return false
}
