package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/transform"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/shard"
)

// source is the job's stream of samples and the arithmetic of its length.
type source struct {
	data         *shard.Dataset
	order        *shard.Order
	batcher      *transform.Batcher
	key          keyed.Key // of the transforms' draws
	batch        uint64    // B
	virtualRanks uint64    // V
	totalSteps   uint64
	positions    uint64 // that the epochs asked for have
}

// openSource indexes the data, which the ranks share among them by the index in the job's store, and checks that it fills a step.
func openSource(ctx context.Context, s *session, stores *stores, r *ring) (*source, error) {
	src, err := s.openData(ctx, stores)
	// Every rank learns of every other's failure, rather than wait for it in the next collective.
	own := control{}
	if err != nil {
		own.Error = err.Error()
	} else {
		own.Fingerprint = src.data.Fingerprint()
	}
	all, exchangeErr := exchange(ctx, r.group, own)
	if err != nil {
		return nil, err
	}
	if exchangeErr != nil {
		return nil, fmt.Errorf("open the data: %w", exchangeErr)
	}
	for rank, c := range all {
		switch {
		case c.Error != "":
			return nil, errors.New(s.on(rank) + c.Error)
		case c.Fingerprint != own.Fingerprint:
			return nil, fmt.Errorf("ranks %d and %d see different data under %s: every worker must see the same shards", s.assignment.Rank, rank, src.data.URI())
		}
	}
	return src, nil
}

func (s *session) openData(ctx context.Context, stores *stores) (*source, error) {
	spec := s.job.Spec
	access, err := s.access(spec.Dataset.Access, telemetry.StoreDataset)
	if err != nil {
		return nil, fmt.Errorf("spec.dataset: %w", err)
	}
	s.report.phase(sslctlv1.Phase_PHASE_READY, "indexing the data")
	data, err := shard.Open(ctx, spec.Dataset.URI, shard.Options{
		Access: access, Cache: stores.checkpoints.Bucket, Rank: int(s.assignment.Rank), World: len(s.assignment.Members),
		Progress: func(done, total int) {
			if total > 1 {
				s.report.phase(sslctlv1.Phase_PHASE_READY, fmt.Sprintf("indexing the data: %d of %d shards", done, total))
			}
		},
	})
	if err != nil {
		return nil, inField("spec.dataset", err)
	}
	if err := checkMembers(data, spec.Dataset.MaxCorrupt); err != nil {
		return nil, fmt.Errorf("spec.dataset: %w", err)
	}
	return newSource(s.job, s.key, data)
}

// newSource puts the samples in the order of the job's stream, and counts its steps.
func newSource(job *jobspec.Job, key keyed.Key, data *shard.Dataset) (*source, error) {
	spec := job.Spec
	order, err := shard.NewOrder(data.Shape(), shard.OrderOptions{
		Seed: spec.Training.Seed, Batch: uint64(spec.Training.GlobalBatch), VirtualRanks: uint64(spec.Training.VirtualRanks), Window: uint64(spec.Dataset.Window),
	})
	if err != nil {
		return nil, fmt.Errorf("spec.dataset: %w", err)
	}
	pipeline, err := newPipeline(job)
	if err != nil {
		return nil, err
	}
	src := &source{
		data: data, order: order, batcher: transform.NewBatcher(pipeline), key: key.For("transform"), batch: uint64(spec.Training.GlobalBatch),
		virtualRanks: uint64(spec.Training.VirtualRanks),
		positions:    uint64(math.Floor(spec.Training.Epochs * float64(data.Len()))),
	}
	src.totalSteps = src.positions / src.batch
	if src.totalSteps == 0 {
		return nil, fmt.Errorf("spec.training: %v epochs of %d samples do not fill one batch of %d; add epochs or samples, or lower globalBatch", spec.Training.Epochs, data.Len(), src.batch)
	}
	return src, nil
}

// checkMembers refuses data in which more samples lack an image than may be replaced, before the first step is made.
func checkMembers(data *shard.Dataset, maxCorrupt int) error {
	n, first := data.Without(transform.Members()...)
	if n <= uint64(maxCorrupt) {
		return nil
	}
	return fmt.Errorf("samples without an image: %d of %d, allowed are %d (spec.dataset.maxCorrupt): the first is %s with the members %s; expected one of %s in each",
		n, data.Len(), maxCorrupt, data.Describe(first), strings.Join(data.Members(first), ", "), strings.Join(transform.Members(), ", "))
}

// inField says which field of the job file an error about data comes from: their indexes are kept with the checkpoints.
func inField(field string, err error) error {
	if errors.Is(err, shard.ErrCache) {
		field = "spec.checkpoint"
	}
	return fmt.Errorf("%s: %w", field, err)
}

// epoch is how many passes over the data the first steps make.
func (s *source) epoch(step uint64) float64 {
	return float64(step*s.batch) / float64(s.data.Len())
}

// endsEpoch tells whether a step is the last that begins in its epoch: the next step's first position lies in a later one.
func (s *source) endsEpoch(step uint64) bool {
	n := s.data.Len()
	return step*s.batch/n > (step-1)*s.batch/n || step == s.totalSteps
}

// due is what is to be done after a step.
type due struct{ epochEnds, store, evaluate, commit bool }

// due tells what is due after a step, when that many epochs have ended.
func (s *source) due(spec jobspec.Spec, step uint64, epochs int) due {
	last := step == s.totalSteps
	d := due{epochEnds: s.endsEpoch(step), store: last || step%uint64(spec.Checkpoint.EverySteps) == 0}
	d.evaluate = spec.Evaluate != nil && (last || d.epochEnds && epochs%spec.Evaluate.EveryEpochs == 0)
	d.commit = d.store || d.evaluate || step%uint64(spec.Training.LedgerEverySteps) == 0
	return d
}

// reader yields the samples of a virtual rank from a step on.
func (s *source) reader(ctx context.Context, virtualRank int, step uint64) (*shard.Reader, error) {
	return shard.NewReader(ctx, s.data, s.order, uint64(virtualRank), step*s.batch, shard.ReadOptions{End: s.totalSteps * s.batch})
}

// plan is what the coordinators are told about the data, with the slices of the epoch in which step lies.
func (s *source) plan(step uint64) *sslctlv1.Plan {
	p := &sslctlv1.Plan{SamplesPerEpoch: s.data.Len(), StepsTotal: s.totalSteps, SamplesUnused: s.positions - s.totalSteps*s.batch}
	names := s.data.Indexes()
	for v := range s.virtualRanks {
		for _, slice := range s.order.Slices(step*s.batch/s.data.Len(), v) {
			p.Shards = append(p.Shards, &sslctlv1.ShardAssignment{
				Shard: names[slice.Shard].Object, FirstSample: slice.First, Samples: slice.Count, VirtualRank: uint32(v),
			})
		}
	}
	return p
}
