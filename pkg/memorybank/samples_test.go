package memorybank

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Every sample has one slot, in the shard that SampleShard names, and no shard holds more than its share.
func TestEverySampleHasOneSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 9).Draw(t, "shards")
		n := rapid.IntRange(shards, 60).Draw(t, "samples")
		next := uint64(0)
		for v := range shards {
			s, err := NewSamples(uint64(n), 2, v, shards)
			if err != nil {
				t.Fatal(err)
			}
			first, end := s.Range()
			if first != next || s.Len() != int(end-first) || s.Len() > (n+shards-1)/shards {
				t.Fatalf("shard %d of %d for %d samples is [%d, %d) with %d slots", v, shards, n, first, end, s.Len())
			}
			for id := range uint64(n) {
				if in := id >= first && id < end; s.Holds(id) != in || (SampleShard(uint64(n), shards, id) == v) != in {
					t.Fatalf("sample %d of %d and shard %d of %d: held %v, named %d", id, n, v, shards, s.Holds(id), SampleShard(uint64(n), shards, id))
				}
			}
			if want := uint64(s.Len()) * (4*2 + 8); s.Bytes() != want {
				t.Fatalf("%d bytes, want %d", s.Bytes(), want)
			}
			next = end
		}
		if next != uint64(n) {
			t.Fatalf("the shards end at %d of %d", next, n)
		}
	})
}

func TestASlotMovesTowardsItsSample(t *testing.T) {
	s, err := NewSamples(10, 2, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.Set(7, []float32{1, 0})
	s.Update(7, []float32{0, 1}, 0.25, 3)
	norm := math.Sqrt(0.25*0.25 + 0.75*0.75)
	for j, want := range []float64{0.25 / norm, 0.75 / norm} {
		if got := float64(s.Slot(7)[j]); math.Abs(got-want) > 1e-6 {
			t.Errorf("element %d is %v, want %v", j, got, want)
		}
	}
	if got := s.Staleness(5); got != (5*4+2)/5.0 {
		t.Errorf("slots were written %v steps ago, want 2 for one and 5 for four of them", got)
	}
	s.Set(8, []float32{1, 0})
	s.Update(8, []float32{-1, 0}, 0.5, 1)
	if got := s.Slot(8); got[0] != 0 || got[1] != 0 {
		t.Errorf("two opposite vectors meet at %v", got)
	}
}

func TestImpossibleSampleShardsAreRefused(t *testing.T) {
	for _, c := range []struct {
		n              uint64
		dim, v, shards int
	}{{3, 8, 0, 4}, {8, 0, 0, 1}, {8, 8, 2, 2}, {8, 8, -1, 2}} {
		if _, err := NewSamples(c.n, c.dim, c.v, c.shards); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
