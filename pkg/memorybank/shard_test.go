package memorybank

import (
	"fmt"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"pgregory.net/rapid"
)

// A shard against the dumbest queue: a growing list whose tail is the bank.
func TestShardHoldsTheLastKeysOfItsStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 5).Draw(t, "shards")
		size := rapid.IntRange(shards, 23).Draw(t, "size")
		v := rapid.IntRange(0, shards-1).Draw(t, "shard")
		const dim = 3
		s, err := NewShard(size, dim, v, shards, keyed.New(1))
		if err != nil {
			t.Fatal(err)
		}
		type entry struct {
			key       [dim]float32
			pos, step uint64
		}
		var all []entry
		for i := range s.Len() {
			all = append(all, entry{[dim]float32(s.Keys()[i*dim : i*dim+dim]), NoPosition, 0})
		}
		next := uint64(0)
		for step := range uint64(rapid.IntRange(0, 6).Draw(t, "steps")) {
			n := rapid.IntRange(0, 9).Draw(t, "n")
			keys, positions := make([]float32, n*dim), make([]uint64, n)
			for i := range n {
				e := entry{pos: next, step: step}
				for j := range dim {
					e.key[j] = float32(next)*10 + float32(j)
					keys[i*dim+j] = e.key[j]
				}
				positions[i] = next
				all = append(all, e)
				next++
			}
			s.Append(keys, positions, nil, step)
		}
		want := map[entry]int{}
		for _, e := range all[len(all)-s.Len():] {
			want[e]++
		}
		for i := range s.Len() {
			e := entry{[dim]float32(s.Keys()[i*dim : i*dim+dim]), s.positions.Uint64s()[i], s.steps.Uint64s()[i]}
			if want[e]--; want[e] < 0 {
				t.Fatalf("entry %+v is not among the last %d", e, s.Len())
			}
		}
	})
}

func TestShardsTogetherAreTheWholeBankWhateverTheirNumber(t *testing.T) {
	const size, dim = 29, 7
	whole, err := NewShard(size, dim, 0, 1, keyed.New(5))
	if err != nil {
		t.Fatal(err)
	}
	for _, shards := range []int{2, 3, 8, 29} {
		var joined []float32
		for v := range shards {
			s, err := NewShard(size, dim, v, shards, keyed.New(5))
			if err != nil {
				t.Fatal(err)
			}
			if bound := (size + shards - 1) / shards; s.Len() > bound {
				t.Errorf("shard %d of %d has %d entries, more than ⌈K/V⌉ = %d", v, shards, s.Len(), bound)
			}
			joined = append(joined, s.Keys()...)
		}
		for i, x := range whole.Keys() {
			if len(joined) != len(whole.Keys()) || joined[i] != x {
				t.Fatalf("%d shards: the bank differs from one shard's", shards)
			}
		}
	}
	for i := range size {
		norm := 0.0
		for _, x := range whole.Keys()[i*dim : (i+1)*dim] {
			norm += float64(x) * float64(x)
		}
		if math.Abs(norm-1) > 1e-6 {
			t.Errorf("initial key %d has squared norm %v", i, norm)
		}
	}
}

func TestStalenessCountsWrittenEntriesAlone(t *testing.T) {
	s, err := NewShard(4, 1, 0, 1, keyed.New(1))
	if err != nil {
		t.Fatal(err)
	}
	s.Append([]float32{1, 1}, []uint64{0, 1}, nil, 3)
	s.Append([]float32{1}, []uint64{2}, nil, 5)
	if sum, n := s.Staleness(6); sum != 3+3+1 || n != 3 {
		t.Errorf("staleness sum %v of %d, want 7 of 3", sum, n)
	}
}

func TestImpossibleShardsAreRefused(t *testing.T) {
	for _, c := range [][4]int{{3, 8, 0, 4}, {8, 0, 0, 1}, {8, 8, 2, 2}, {8, 8, -1, 2}} {
		if _, err := NewShard(c[0], c[1], c[2], c[3], keyed.New(1)); err == nil {
			t.Errorf("size %d, width %d, shard %d of %d was accepted", c[0], c[1], c[2], c[3])
		}
	}
}

// A shard that tracks samples finds the keys of each, and forgets those that were overwritten.
func TestAShardKnowsTheSamplesOfItsKeys(t *testing.T) {
	s, err := NewShard(3, 1, 0, 1, keyed.New(1))
	if err != nil {
		t.Fatal(err)
	}
	plain, names := s.Bytes(), len(s.State())
	s.TrackSamples()
	if s.Bytes() != plain+3*SampleBytes || len(s.State()) != names+1 {
		t.Errorf("%d bytes and %d tensors, without samples %d and %d", s.Bytes(), len(s.State()), plain, names)
	}
	if got := s.Own([]uint64{0, 7, NoPosition - 1}); len(got) != 0 {
		t.Errorf("a new shard has keys of samples: %v", got)
	}
	s.Append([]float32{1, 1}, []uint64{0, 1}, []uint64{7, 4}, 1)
	s.Append([]float32{1}, []uint64{2}, []uint64{7}, 2)
	if got := fmt.Sprint(s.Own([]uint64{4, 7, 9, 7})); got != "[{0 1} {0 3} {1 0} {2 1} {2 3}]" {
		t.Errorf("entries and queries of one sample: %s", got)
	}
	s.Append([]float32{1}, []uint64{3}, []uint64{9}, 3)
	if got := fmt.Sprint(s.Own([]uint64{4, 7})); got != "[{1 0} {2 1}]" {
		t.Errorf("after the first entry was overwritten: %s", got)
	}
}
