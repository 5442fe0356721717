package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
	"github.com/sslctl/sslctl/pkg/task"
	"github.com/sslctl/sslctl/shard"
	"go.uber.org/zap"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// PlanOptions say what to foretell.
type PlanOptions struct {
	// Starts (len W+1) cuts the virtual ranks: worker r owns [Starts[r], Starts[r+1]).
	Starts []int
	// UID of a job of the same name whose index of the data may be used; 0: there is none.
	UID string
	// Probe runs a few steps.
	Probe bool
	// Progress, if set, is called after each shard that was indexed.
	Progress func(done, total int)
}

// Estimate is what a job will read, hold and send. Bytes of the ring and times are known from a probe alone.
type Estimate struct {
	SamplesPerEpoch uint64         `json:"samplesPerEpoch"`
	Steps           uint64         `json:"steps"`
	SamplesUnused   uint64         `json:"samplesUnused"` // at the end of the stream
	Parameters      uint64         `json:"parameters"`    // that an optimizer moves
	Read            ReadEstimate   `json:"read"`
	Workers         []RankEstimate `json:"workers"`    // in rank order
	Efficiency      float64        `json:"efficiency"` // mean over largest share of the virtual ranks: 1 where they are even
	Checkpoints     uint64         `json:"checkpoints"`
	CheckpointBytes uint64         `json:"checkpointBytes"` // of each
	Probe           *Probe         `json:"probe,omitempty"`
}

// ReadEstimate is what all workers together read from the stores, in bytes.
type ReadEstimate struct {
	Index      uint64 `json:"index"`      // by the first generation at most, unless a job of this name has indexed the data: every shard
	Initial    uint64 `json:"initial"`    // by a task that begins with a pass over the data
	Epoch      uint64 `json:"epoch"`      // each
	Training   uint64 `json:"training"`   // all epochs
	Evaluation uint64 `json:"evaluation"` // once: both sets, to index and to read them
	Total      uint64 `json:"total"`
}

// RankEstimate is the part of one worker.
type RankEstimate struct {
	VirtualRankLo    int    `json:"virtualRankLo"`
	VirtualRankHi    int    `json:"virtualRankHi"`
	SamplesPerStep   uint64 `json:"samplesPerStep"`
	EpochBytes       uint64 `json:"epochBytes"` // read in the first epoch
	BankBytes        uint64 `json:"bankBytes"`
	StateBytes       uint64 `json:"stateBytes"` // parameters, optimizer, banks
	RingBytesPerStep uint64 `json:"ringBytesPerStep,omitempty"`
	RingBytes        uint64 `json:"ringBytes,omitempty"` // sent in the whole run
}

// Plan reads a job's data set and builds its model, in this process, to foretell what the job will need. Nothing is written.
func Plan(ctx context.Context, job *jobspec.Job, o PlanOptions) (*Estimate, error) {
	spec, key := job.Spec, keyed.New(job.Spec.Training.Seed)
	access, err := accessOptions(spec.Dataset.Access)
	if err != nil {
		return nil, fmt.Errorf("spec.dataset: %w", err)
	}
	cache, err := oldIndex(ctx, job, o.UID)
	if err != nil {
		return nil, err
	}
	data, err := shard.Open(ctx, spec.Dataset.URI, shard.Options{Access: access, Cache: cache, Progress: o.Progress})
	if err != nil {
		return nil, inField("spec.dataset", err)
	}
	if err := checkMembers(data, spec.Dataset.MaxCorrupt); err != nil {
		return nil, fmt.Errorf("spec.dataset: %w", err)
	}
	src, err := newSource(job, key, data)
	if err != nil {
		return nil, err
	}
	most := largest(o.Starts)
	group := &mirror{virtualRanks: spec.Training.VirtualRanks, lo: o.Starts[most], hi: o.Starts[most+1]}
	built, err := build(job, key, src, group, nil)
	if err != nil {
		return nil, err
	}
	e := &Estimate{SamplesPerEpoch: data.Len(), Steps: src.totalSteps, SamplesUnused: src.positions - src.totalSteps*src.batch}
	for _, g := range built.state.groups {
		e.Parameters += uint64(g.parameters.Grads[0].DataSize())
	}
	e.Efficiency = float64(spec.Training.VirtualRanks) / float64(len(o.Starts)-1) / float64(group.hi-group.lo)
	e.estimateState(built, group, o.Starts)
	if err := e.estimateReads(ctx, job, src, built.task, o.Starts); err != nil {
		return nil, err
	}
	if !o.Probe {
		return e, nil
	}
	calls, err := e.probe(ctx, &session{job: job, key: key, log: zap.NewNop(), assignment: &sslctlv1.Assignment{}}, src, built, group)
	if err != nil {
		return nil, fmt.Errorf("run a few steps to measure them: %w", err)
	}
	return e, e.estimateRing(job, src, built, group, calls, o.Starts)
}

// largest is the rank with most virtual ranks, the first of several.
func largest(starts []int) int {
	most := 0
	for r := range len(starts) - 1 {
		if starts[r+1]-starts[r] > starts[most+1]-starts[most] {
			most = r
		}
	}
	return most
}

// oldIndex is the folder of a job whose index may be used, if there is one: to read from alone.
func oldIndex(ctx context.Context, job *jobspec.Job, uid string) (blob.Bucket, error) {
	if uid == "" {
		return nil, nil
	}
	c := job.Spec.Checkpoint
	access, err := accessOptions(c.Access)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	b, err := blob.Open(ctx, blob.Join(c.URI, jobFolder(job.Metadata.Name, uid)), access)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	return readOnly{b}, nil
}

// readOnly forgets what is written.
type readOnly struct{ blob.Bucket }

// Put keeps nothing.
func (readOnly) Put(context.Context, string, io.Reader, int64) error { return nil }

// estimateState counts what is held and what a checkpoint stores, from the state of the worker with most virtual ranks: those of the others
// are as large.
func (e *Estimate) estimateState(b *built, g *mirror, starts []int) {
	var replicated, own uint64
	for _, v := range b.state.vars {
		if bytes := uint64(v.Value.MemSize()); v.Place == task.Replicated {
			replicated += bytes
		} else {
			own += bytes
		}
	}
	share := func(bytes uint64, n int) uint64 { return bytes * uint64(n) / uint64(g.hi-g.lo) }
	for r := range len(starts) - 1 {
		n := starts[r+1] - starts[r]
		e.Workers = append(e.Workers, RankEstimate{
			VirtualRankLo: starts[r], VirtualRankHi: starts[r+1], BankBytes: share(b.task.BankBytes(), n), StateBytes: replicated + share(own, n),
		})
	}
	e.CheckpointBytes = replicated + share(own, g.virtualRanks)
}

// estimateReads counts what is read from the stores.
func (e *Estimate) estimateReads(ctx context.Context, job *jobspec.Job, src *source, t task.Task, starts []int) error {
	spec, indexes := job.Spec, src.data.Indexes()
	for _, x := range indexes {
		e.Read.Index += uint64(x.Bytes)
	}
	if len(indexes) <= shard.ParallelDefault { // each worker is done before it could learn from the others
		e.Read.Index *= uint64(len(e.Workers))
	}
	if _, initial := t.(task.Initializer); initial {
		e.Read.Initial = uint64(src.data.Bytes())
	}
	e.Read.Epoch = uint64(src.data.Bytes())
	e.Read.Training = uint64(float64(e.Read.Epoch) * src.epoch(src.totalSteps))
	for r := range e.Workers {
		w := &e.Workers[r]
		w.SamplesPerStep = uint64(spec.Training.MicroBatch() * (w.VirtualRankHi - w.VirtualRankLo))
		for v := starts[r]; v < starts[r+1]; v++ {
			for _, slice := range src.order.Slices(0, uint64(v)) {
				for _, entry := range indexes[slice.Shard].Samples[slice.First : slice.First+slice.Count] {
					w.EpochBytes += uint64(entry.Size)
				}
			}
		}
	}
	if spec.Evaluate != nil {
		for _, set := range []jobspec.Source{spec.Evaluate.Train, spec.Evaluate.Test} {
			access, err := accessOptions(set.Access)
			if err != nil {
				return fmt.Errorf("spec.evaluate: %w", err)
			}
			bytes, err := shard.Size(ctx, set.URI, access)
			if err != nil {
				return fmt.Errorf("spec.evaluate: %w", err)
			}
			e.Read.Evaluation += uint64(bytes)
			if set.URI != spec.Dataset.URI { // which is indexed already
				e.Read.Evaluation += uint64(bytes)
			}
		}
	}
	e.Read.Total = e.Read.Index + e.Read.Initial + e.Read.Training + e.Read.Evaluation
	return nil
}

// estimateRing counts what each worker sends: the task's collectives of a step, which the probe has met, and what the trainer says beside.
func (e *Estimate) estimateRing(job *jobspec.Job, src *source, b *built, g *mirror, step []counted, starts []int) error {
	world := len(starts) - 1
	sent := func(count func(*allreduce.Traffic)) ([]uint64, error) {
		t, err := allreduce.NewTraffic(allreduce.Config{
			World: world, VirtualRanks: g.virtualRanks, Starts: starts, BucketElements: bucketElements(job), Wire: allreduce.Wire(job.Spec.Sync.Wire),
		})
		if err != nil {
			return nil, err
		}
		count(t)
		return t.Sent(), nil
	}
	exchanged := newExchanged(b.state, g, src, starts)
	each, err := sent(func(t *allreduce.Traffic) {
		for _, c := range step {
			c(t)
		}
		t.Exchange(exchanged.agree)
	})
	if err != nil {
		return err
	}
	commit, err := sent(func(t *allreduce.Traffic) { t.Exchange(exchanged.digest) })
	if err != nil {
		return err
	}
	store, err := sent(func(t *allreduce.Traffic) {
		t.Exchange(exchanged.written)
		t.Exchange(exchanged.agree)
	})
	if err != nil {
		return err
	}
	begin, err := sent(func(t *allreduce.Traffic) {
		t.Exchange(make([]int, world))
		t.Exchange(exchanged.open)
		if _, initial := b.task.(task.Initializer); initial {
			t.Exchange(exchanged.agree)
		}
	})
	if err != nil {
		return err
	}
	var commits uint64
	epochs := 0
	for at := uint64(1); at <= src.totalSteps; at++ {
		if src.endsEpoch(at) {
			epochs++
		}
		due := src.due(job.Spec, at, epochs)
		if due.commit {
			commits++
		}
		if due.store {
			e.Checkpoints++
		}
	}
	for r := range e.Workers {
		e.Workers[r].RingBytesPerStep = each[r]
		e.Workers[r].RingBytes = begin[r] + src.totalSteps*each[r] + commits*commit[r] + e.Checkpoints*store[r]
	}
	return nil
}

// exchanged is how many bytes each rank says to the others.
type exchanged struct{ open, agree, digest, written []int }

func newExchanged(s *state, g *mirror, src *source, starts []int) exchanged {
	replicated, own := s.sums()
	sum := checkpoint.Digest(0, 0, replicated)
	size := func(v any) int {
		text, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("encode %T: %v", v, err)) // as exchange does with each
		}
		return len(text)
	}
	var e exchanged
	for r := range len(starts) - 1 {
		var sums []checkpoint.TensorSum
		var files []checkpoint.FileEntry
		if r == 0 {
			files = append(files, checkpoint.FileEntry{Name: checkpoint.FileName(checkpoint.Replicated), Size: 1 << 20, SHA256: sum, VirtualRank: checkpoint.Replicated})
		}
		for v := starts[r]; v < starts[r+1]; v++ {
			sums = append(sums, own[:len(own)/(g.hi-g.lo)]...)
			files = append(files, checkpoint.FileEntry{Name: checkpoint.FileName(v), Size: 1 << 20, SHA256: sum, VirtualRank: v})
		}
		e.open = append(e.open, size(control{Fingerprint: src.data.Fingerprint()}))
		e.agree = append(e.agree, size(control{}))
		e.digest = append(e.digest, size(ranksDigest{Replicated: sum, Own: slices.Clone(sums)}))
		e.written = append(e.written, size(written{Files: files}))
	}
	return e
}

// Numerics names the profile that this process computes with.
func Numerics() string { return simd.Profile() }
