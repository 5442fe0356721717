package memorybank

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// SlotProvenanceBytes is what a slot holds beside its vector: the step that wrote it.
const SlotProvenanceBytes = 8

// Samples is one virtual rank's part of a bank with a slot for each sample of the data set (Wu, Xiong, Yu and Lin, "Unsupervised feature
// learning via non-parametric instance discrimination", CVPR 2018, §3.1). Shard v of V holds the slots of the samples [⌊v·N/V⌋, ⌊(v+1)·N/V⌋). It
// is not safe for concurrent use.
type Samples struct {
	slots *tensor.Dense // (N_v, d) unit rows
	steps *tensor.Dense // (N_v) uint64: the step that wrote the slot, counted from 1; 0 for Set
	first uint64
	dim   int
}

// SampleRange is the samples [first, end) whose slots shard v of a bank for n samples holds.
func SampleRange(n uint64, v, shards int) (first, end uint64) {
	return uint64(offset(int(n), v, shards)), uint64(offset(int(n), v+1, shards))
}

// SampleShard is the shard that holds the slot of a sample.
func SampleShard(n uint64, shards int, id uint64) int {
	return int(((id+1)*uint64(shards) - 1) / n) // the largest v with ⌊v·n/shards⌋ ≤ id
}

// NewSamples makes shard v of a bank of vectors of width dim for n samples over shards shards. All slots are 0 until Set. It returns an error unless
// every shard has at least one slot.
func NewSamples(n uint64, dim, v, shards int) (*Samples, error) {
	if dim < 1 || shards < 1 || v < 0 || v >= shards || n < uint64(shards) {
		return nil, fmt.Errorf("make bank shard %d of %d for %d samples with vectors of width %d: expected 0 ≤ shard < shards ≤ samples and a positive width", v, shards, n, dim)
	}
	first, end := SampleRange(n, v, shards)
	size := int(end - first)
	return &Samples{
		slots: tensor.New(tensor.WithShape(size, dim), tensor.WithBacking(make([]float32, size*dim))),
		steps: tensor.New(tensor.WithShape(size), tensor.WithBacking(make([]uint64, size))),
		first: first, dim: dim,
	}, nil
}

// Range is the samples [first, end) that have their slots here.
func (s *Samples) Range() (first, end uint64) { return s.first, s.first + uint64(s.Len()) }

// Holds tells whether a sample has its slot here.
func (s *Samples) Holds(id uint64) bool { return id >= s.first && id-s.first < uint64(s.Len()) }

// Len is the number of slots, N_v.
func (s *Samples) Len() int { return s.steps.Shape()[0] }

// Slots are all vectors, (N_v, d) row-major. The slice is live.
func (s *Samples) Slots() []float32 { return s.slots.Float32s() }

// Slot is the vector of a sample that has its slot here. The slice is live.
func (s *Samples) Slot(id uint64) []float32 {
	i := int(id - s.first)
	return s.Slots()[i*s.dim : (i+1)*s.dim]
}

// Set writes a first unit vector into a sample's slot, before the first step.
func (s *Samples) Set(id uint64, unit []float32) {
	copy(s.Slot(id), unit)
	s.steps.Uint64s()[id-s.first] = 0
}

// Update moves a sample's slot towards a unit vector at the end of a step, counted from 1: slot ← normalise(momentum·slot + (1−momentum)·unit).
func (s *Samples) Update(id uint64, unit []float32, momentum float32, step uint64) {
	slot := s.Slot(id)
	for j, x := range unit {
		slot[j] = float32(momentum*slot[j]) + float32((1-momentum)*x)
	}
	objective.Normalize(slot, slot, make([]float32, 1), 1, s.dim)
	s.steps.Uint64s()[id-s.first] = step
}

// Bytes is what the slots take: vectors and provenance.
func (s *Samples) Bytes() uint64 { return uint64(s.Len()) * uint64(4*s.dim+SlotProvenanceBytes) }

// Staleness is the mean over the slots of the steps since each was written, in a step, counted from 1.
func (s *Samples) Staleness(step uint64) float64 {
	sum := uint64(0)
	for _, at := range s.steps.Uint64s() {
		sum += step - at
	}
	return float64(sum) / float64(s.Len())
}

// State lists the tensors that make up the shard; overwriting their values restores it.
func (s *Samples) State() []Tensor {
	return []Tensor{{"slots", s.slots}, {"steps", s.steps}}
}
