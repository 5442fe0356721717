// Package memorybank keeps the vectors that queries are contrasted with, cut into one shard for each virtual rank. A Shard is its part of a
// first-in-first-out queue of keys (He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020, §3.2): it holds
// the newest keys of one virtual rank alone, so an owner appends without asking anybody, and the shards together are the global queue whenever
// the batch divides its size. Samples is its part of a bank with a slot for each sample.
package memorybank

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// NoPosition marks an entry that no sample has written yet: it still holds its random initial key.
const NoPosition = ^uint64(0)

// ProvenanceBytes is what an entry holds beside its key: the position of the sample in the job's stream and the step that wrote it.
const ProvenanceBytes = 16

// SampleBytes is what an entry holds besides, where the shard tracks samples: the number of its sample.
const SampleBytes = 8

// ShardSize is the number of entries of shard v of a bank of size entries over shards shards: ⌊(v+1)·K/V⌋ − ⌊v·K/V⌋. The sizes differ by
// at most one and add up to the bank's size.
func ShardSize(size, v, shards int) int { return offset(size, v+1, shards) - offset(size, v, shards) }

func offset(size, v, shards int) int { return int(uint64(size) * uint64(v) / uint64(shards)) }

// Shard is one virtual rank's part of a bank. It is not safe for concurrent use.
type Shard struct {
	keys      *tensor.Dense // (K_v, d) unit rows
	positions *tensor.Dense // (K_v) uint64
	steps     *tensor.Dense // (K_v) uint64
	samples   *tensor.Dense // (K_v) uint64: number of each key's sample in the data set, NoPosition for none; nil: not tracked
	written   *tensor.Dense // (1) uint64: keys appended since the start; the next one goes to slot written mod K_v
	dim       int
}

// NewShard makes shard v of a bank of size unit vectors of width dim over shards shards. Its entries are random directions: row i of the
// whole bank is drawn from key.At(i), so the bank's content does not depend on the number of shards. It returns an error unless every shard has
// at least one entry.
func NewShard(size, dim, v, shards int, key keyed.Key) (*Shard, error) {
	if dim < 1 || shards < 1 || v < 0 || v >= shards || size < shards {
		return nil, fmt.Errorf("make bank shard %d of %d with %d entries of width %d: expected 0 ≤ shard < shards ≤ entries and a positive width", v, shards, size, dim)
	}
	n := ShardSize(size, v, shards)
	keys := make([]float32, n*dim)
	positions := make([]uint64, n)
	for i := range n {
		randomDirection(keys[i*dim:(i+1)*dim], key.At(uint64(offset(size, v, shards)+i)))
		positions[i] = NoPosition
	}
	return &Shard{
		keys:      tensor.New(tensor.WithShape(n, dim), tensor.WithBacking(keys)),
		positions: tensor.New(tensor.WithShape(n), tensor.WithBacking(positions)),
		steps:     tensor.New(tensor.WithShape(n), tensor.WithBacking(make([]uint64, n))),
		written:   tensor.New(tensor.WithShape(1), tensor.WithBacking(make([]uint64, 1))),
		dim:       dim,
	}, nil
}

// randomDirection fills row with a point of the unit sphere: a normalised normal vector.
func randomDirection(row []float32, key keyed.Key) {
	sum := 0.0
	for j := range row {
		x := key.Normal(uint64(j))
		row[j] = float32(x)
		sum += float64(x * x)
	}
	scale := 1 / math.Sqrt(sum) // a correctly rounded operation, the same on every CPU
	for j := range row {
		row[j] = float32(float64(row[j]) * scale)
	}
}

// TrackSamples makes a new shard remember from which sample of the data set each key is. That is then part of its state.
func (s *Shard) TrackSamples() {
	none := make([]uint64, s.Len())
	for i := range none {
		none[i] = NoPosition
	}
	s.samples = tensor.New(tensor.WithShape(len(none)), tensor.WithBacking(none))
}

// Own lists the entries that hold keys of some samples, each with the places of its sample among them. The shard tracks samples.
func (s *Shard) Own(samples []uint64) (pairs []objective.Pair) {
	places := map[uint64][]int32{} // by sample: one may come twice
	for i, id := range samples {
		places[id] = append(places[id], int32(i))
	}
	for entry, id := range s.samples.Uint64s() {
		for _, place := range places[id] {
			pairs = append(pairs, objective.Pair{Place: int32(entry), Query: place})
		}
	}
	return pairs
}

// Append writes the (n, d) keys of one step over the oldest entries, in order, with the positions of their samples and their numbers in the
// data set, which are read where they are tracked. Where n exceeds the shard, the last ones stay.
func (s *Shard) Append(keys []float32, positions, samples []uint64, step uint64) {
	size, written := uint64(s.Len()), s.cursor()
	bank, pos, at := s.Keys(), s.positions.Uint64s(), s.steps.Uint64s()
	for i, p := range positions {
		slot := int(*written % size)
		copy(bank[slot*s.dim:(slot+1)*s.dim], keys[i*s.dim:(i+1)*s.dim])
		pos[slot], at[slot] = p, step
		if s.samples != nil {
			s.samples.Uint64s()[slot] = samples[i]
		}
		*written++
	}
}

func (s *Shard) cursor() *uint64 { return &s.written.Uint64s()[0] }

// Len is the number of entries, K_v.
func (s *Shard) Len() int { return s.positions.Shape()[0] }

// Keys are the entries' keys, (K_v, d) row-major. The slice is live.
func (s *Shard) Keys() []float32 { return s.keys.Float32s() }

// Bytes is what the shard's entries take: keys and provenance.
func (s *Shard) Bytes() uint64 {
	entry := 4*s.dim + ProvenanceBytes
	if s.samples != nil {
		entry += SampleBytes
	}
	return uint64(s.Len()) * uint64(entry)
}

// Staleness is the sum over written entries of the steps since they were written, and the number of written entries, at a step.
func (s *Shard) Staleness(step uint64) (sum float64, written int) {
	steps := s.steps.Uint64s()
	for i, p := range s.positions.Uint64s() {
		if p != NoPosition {
			sum += float64(step - steps[i])
			written++
		}
	}
	return sum, written
}

// Tensor is a named tensor of a shard's state.
type Tensor struct {
	Name  string
	Value *tensor.Dense
}

// State lists the tensors that make up the shard; overwriting their values restores it.
func (s *Shard) State() []Tensor {
	state := []Tensor{{"keys", s.keys}, {"positions", s.positions}, {"steps", s.steps}, {"written", s.written}}
	if s.samples != nil {
		state = append(state, Tensor{"samples", s.samples})
	}
	return state
}
