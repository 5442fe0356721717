package main

import (
	"strings"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// jobReport is a job as -o json and -o yaml show it. Other tools read the names: fields may be added, none renamed.
type jobReport struct {
	Job              string            `json:"job"`
	UID              string            `json:"uid"`
	State            string            `json:"state"`
	Steps            uint64            `json:"steps"`
	Epochs           number            `json:"epochs"`
	Samples          uint64            `json:"samples"`
	SamplesPerSecond number            `json:"samplesPerSecond"`
	Loss             number            `json:"loss"`
	Evaluation       map[string]number `json:"evaluation"` // the newest, fractions
	Digest           string            `json:"digest"`
	Generations      uint64            `json:"generations"`
	StepsRepeated    uint64            `json:"stepsRepeated"`
	Exported         string            `json:"exported"`

	Reason          string             `json:"reason,omitempty"`
	StepsTotal      uint64             `json:"stepsTotal"`
	StepsCommitted  uint64             `json:"stepsCommitted"`
	EpochsTotal     number             `json:"epochsTotal"`
	SamplesPerEpoch uint64             `json:"samplesPerEpoch"`
	SamplesUnused   uint64             `json:"samplesUnused"`
	StepsSkipped    uint64             `json:"stepsSkipped"`
	DigestStep      uint64             `json:"digestStep"`
	Generation      uint64             `json:"generation"`
	Numerics        string             `json:"numerics"`
	Priority        int32              `json:"priority"`
	WorkersMin      uint32             `json:"workersMin"`
	WorkersMax      uint32             `json:"workersMax"`
	Selector        map[string]string  `json:"selector,omitempty"`
	Labels          map[string]string  `json:"labels,omitempty"`
	EpochLosses     []number           `json:"epochLosses,omitempty"`
	Evaluations     []evaluationReport `json:"evaluations,omitempty"`
	Metrics         map[string]number  `json:"metrics,omitempty"`
	Members         []memberReport     `json:"members,omitempty"`
	Shards          []shardReport      `json:"shards,omitempty"`
	Checkpoints     []checkpointReport `json:"checkpoints,omitempty"`
	Ledger          []ledgerReport     `json:"ledger,omitempty"`
	CorruptSamples  []string           `json:"corruptSamples,omitempty"`
	Since           string             `json:"since,omitempty"` // when it came into its state
	Submitted       string             `json:"submitted,omitempty"`
	Started         string             `json:"started,omitempty"`
	Ended           string             `json:"ended,omitempty"`
}

type evaluationReport struct {
	Step   uint64            `json:"step"`
	Epoch  number            `json:"epoch"`
	Values map[string]number `json:"values"`
	// Warning says in words that the measures look like a collapse.
	Warning string `json:"warning,omitempty"`
}

// memberReport is a worker's place: it owns virtual ranks [VirtualRankLo, VirtualRankHi), with their bank shards.
type memberReport struct {
	Rank          uint32 `json:"rank"`
	Worker        string `json:"worker"`
	Incarnation   uint64 `json:"incarnation"`
	VirtualRankLo uint32 `json:"virtualRankLo"`
	VirtualRankHi uint32 `json:"virtualRankHi"`
	Samples       uint64 `json:"samples"`
	RingBytesSent uint64 `json:"ringBytesSent"`
	BankBytes     uint64 `json:"bankBytes"`
	Phase         string `json:"phase"`
	Reason        string `json:"reason,omitempty"`
}

type shardReport struct {
	Shard       string `json:"shard"`
	FirstSample uint64 `json:"firstSample"`
	Samples     uint64 `json:"samples"`
	VirtualRank uint32 `json:"virtualRank"`
}

type checkpointReport struct {
	Step   uint64 `json:"step"`
	URI    string `json:"uri"`
	Digest string `json:"digest"`
	Bytes  uint64 `json:"bytes"`
}

type ledgerReport struct {
	Generation uint64 `json:"generation"`
	FirstStep  uint64 `json:"firstStep"`
	LastStep   uint64 `json:"lastStep"`
	Skipped    uint64 `json:"skipped"`
	Digest     string `json:"digest"`
	MeanLoss   number `json:"meanLoss"`
}

func reportJob(j *sslctlv1.Job) jobReport {
	r := jobReport{
		Job: j.Name, UID: j.Uid, State: stateName(j.State), Steps: j.Step, Epochs: number(j.Epoch), Samples: j.Samples,
		SamplesPerSecond: number(j.SamplesPerSecond), Loss: number(j.Loss), Evaluation: newestEvaluation(j), Digest: j.Digest,
		Generations: j.Generations, StepsRepeated: j.StepsRepeated, Exported: j.Exported,
		Reason: j.Reason, StepsTotal: j.StepsTotal, StepsCommitted: j.CommittedStep, EpochsTotal: number(j.EpochsTotal),
		SamplesPerEpoch: j.SamplesPerEpoch, SamplesUnused: j.SamplesUnused, StepsSkipped: j.StepsSkipped, DigestStep: j.DigestStep,
		Generation: j.Generation, Numerics: j.Numerics, Priority: j.Priority, Labels: j.Labels,
		WorkersMin: j.WorkersMin, WorkersMax: j.WorkersMax, Selector: j.Selector, Since: timeText(j.SinceUnixMs),
		EpochLosses: numbers(j.EpochLosses), Metrics: numberMap(j.Metrics), CorruptSamples: j.CorruptSamples,
		Submitted: timeText(j.SubmittedUnixMs), Started: timeText(j.StartedUnixMs), Ended: timeText(j.EndedUnixMs),
	}
	for _, e := range j.Evaluations {
		r.Evaluations = append(r.Evaluations, evaluationReport{e.Step, number(e.Epoch), numberMap(e.Values), e.Warning})
	}
	for _, m := range j.Members {
		r.Members = append(r.Members, memberReport{m.Rank, m.WorkerId, m.Incarnation, m.VirtualRankLo, m.VirtualRankHi, m.Samples,
			m.RingBytesSent, m.BankBytes, m.Phase, m.Reason})
	}
	for _, s := range j.Shards {
		r.Shards = append(r.Shards, shardReport{s.Shard, s.FirstSample, s.Samples, s.VirtualRank})
	}
	for _, c := range j.Checkpoints {
		r.Checkpoints = append(r.Checkpoints, checkpointReport{c.Step, c.Uri, c.Digest, c.Bytes})
	}
	for _, l := range j.Ledger {
		r.Ledger = append(r.Ledger, ledgerReport{l.Generation, l.FirstStep, l.LastStep, l.Skipped, l.Digest, number(l.MeanLoss)})
	}
	return r
}

// newestEvaluation is the last evaluation's values. The floors are measured once; they are taken from the evaluation that has them.
func newestEvaluation(j *sslctlv1.Job) map[string]number {
	values := map[string]number{}
	for i, e := range j.Evaluations {
		for name, v := range e.Values {
			if i == len(j.Evaluations)-1 || isFloor(name) {
				values[name] = number(v)
			}
		}
	}
	return values
}

// isFloor tells whether a value measures raw pixels or the untrained model.
func isFloor(name string) bool {
	return strings.HasPrefix(name, "rawPixel.") || strings.HasPrefix(name, "untrained.")
}

// stateName is the state as users see it: "running".
func stateName(s sslctlv1.JobState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "JOB_STATE_"))
}

func timeText(unixMs int64) string {
	if unixMs == 0 {
		return ""
	}
	return time.UnixMilli(unixMs).UTC().Format("2006-01-02T15:04:05.000Z")
}

func numbers(xs []float64) []number {
	var list []number
	for _, x := range xs {
		list = append(list, number(x))
	}
	return list
}

func numberMap(m map[string]float64) map[string]number {
	out := make(map[string]number, len(m))
	for k, v := range m {
		out[k] = number(v)
	}
	return out
}
