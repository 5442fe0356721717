package shard

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sslctl/sslctl/pkg/keyed"
)

func drawShape(t *rapid.T) Shape {
	s := Shape{Shards: rapid.SliceOfN(rapid.Uint64Range(0, 40), 1, 12).Draw(t, "shards"), Bytes: rapid.Int64Range(0, 1<<40).Draw(t, "bytes")}
	if s.Len() == 0 {
		s.Shards[0] = 1
	}
	return s
}

func drawOrder(t *rapid.T, s Shape) *Order {
	v := rapid.Uint64Range(1, 9).Draw(t, "V")
	o, err := NewOrder(s, OrderOptions{
		Seed: rapid.Uint64().Draw(t, "seed"), VirtualRanks: v, Batch: v * rapid.Uint64Range(1, 9).Draw(t, "B/V"),
		Window: rapid.Uint64Range(0, 30).Draw(t, "window"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEveryEpochUsesEverySampleOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t, drawShape(t))
		for epoch := range uint64(4) {
			seen := make([]bool, o.n)
			for pos := epoch * o.n; pos < (epoch+1)*o.n; pos++ {
				id := o.Sample(pos)
				if id >= o.n || seen[id] {
					t.Fatalf("epoch %d, position %d: sample %d is out of range or taken", epoch, pos, id)
				}
				seen[id] = true
			}
		}
	})
}

func TestOrderIsItsFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawShape(t)
		o := drawOrder(t, s)
		epoch := rapid.Uint64Range(0, 3).Draw(t, "epoch")
		// The plain way: walk the positions, collect those of each virtual rank, lay the shards end to end, cut, permute windows.
		ranks := make([][]uint64, o.v)
		for pos := epoch * o.n; pos < (epoch+1)*o.n; pos++ {
			v := pos % o.b * o.v / o.b
			if o.VirtualRank(pos) != v {
				t.Fatalf("position %d belongs to %d, not %d", pos, o.VirtualRank(pos), v)
			}
			ranks[v] = append(ranks[v], pos)
		}
		var line []uint64
		for k := range uint64(len(s.Shards)) {
			shard := o.shards.At(epoch).Permute(k, uint64(len(s.Shards)))
			for i := range s.Shards[shard] {
				line = append(line, o.starts[shard]+i)
			}
		}
		for v, positions := range ranks {
			run := line[:len(positions)]
			line = line[len(positions):]
			var sliced []uint64
			for _, s := range o.Slices(epoch, uint64(v)) {
				for i := range s.Count {
					sliced = append(sliced, o.starts[s.Shard]+s.First+i)
				}
			}
			if !slices.Equal(sliced, run) {
				t.Fatalf("Slices(%d, %d) are %v, want %v", epoch, v, sliced, run)
			}
			for first := 0; first < len(run); first += int(o.window) {
				window := run[first:min(first+int(o.window), len(run))]
				key := o.within.At(epoch, uint64(v), uint64(first)/o.window)
				for i := range window {
					want := window[key.Permute(uint64(i), uint64(len(window)))]
					if got := o.Sample(positions[first+i]); got != want {
						t.Fatalf("position %d: sample %d, want %d", positions[first+i], got, want)
					}
				}
			}
		}
		if len(line) != 0 {
			t.Fatalf("%d samples belong to nobody", len(line))
		}
	})
}

func TestBeforeCountsAndNthFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t, drawShape(t))
		counts := make([]uint64, o.v)
		for pos := range 5 * o.b {
			for v := range o.v {
				if got := o.before(v, pos); got != counts[v] {
					t.Fatalf("before(%d, %d) = %d, want %d", v, pos, got, counts[v])
				}
			}
			v := o.VirtualRank(pos)
			if got := o.nth(v, counts[v]); got != pos {
				t.Fatalf("nth(%d, %d) = %d, want %d", v, counts[v], got, pos)
			}
			counts[v]++
		}
	})
}

func TestRestContinuesAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t, drawShape(t))
		v := rapid.Uint64Range(0, o.v-1).Draw(t, "v")
		start := rapid.Uint64Range(0, 3*o.n).Draw(t, "start")
		end := start + rapid.Uint64Range(0, 3*o.n).Draw(t, "length")
		m, last := o.before(v, start), o.before(v, end)
		for pos := start; pos < end; pos++ {
			if o.VirtualRank(pos) != v {
				continue
			}
			ids := o.rest(v, m, last)
			if len(ids) == 0 || uint64(len(ids)) > o.window || ids[0] != o.Sample(pos) {
				t.Fatalf("rest at %d is %v, want it to begin with %d", pos, ids, o.Sample(pos))
			}
			m++
		}
		if ids := o.rest(v, m, last); len(ids) != 0 {
			t.Fatalf("behind the end: %v", ids)
		}
	})
}

func TestReplacementsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t, drawShape(t))
		pos := rapid.Uint64Range(0, 3*o.n).Draw(t, "pos")
		seen := map[uint64]bool{o.Sample(pos): true}
		for attempt := range o.n - 1 {
			id, ok := o.Replacement(pos, attempt)
			if !ok || id >= o.n || seen[id] {
				t.Fatalf("attempt %d: sample %d, %v", attempt, id, ok)
			}
			seen[id] = true
		}
		if id, ok := o.Replacement(pos, o.n-1); ok {
			t.Fatalf("one more replacement: %d", id)
		}
	})
}

func TestSeedsEpochsAndRanksDiffer(t *testing.T) {
	shape := Shape{Shards: slices.Repeat([]uint64{500}, 20), Bytes: 10_000 * 2048}
	epoch := func(seed, e uint64) []uint64 {
		o, err := NewOrder(shape, OrderOptions{Seed: seed, Batch: 256, VirtualRanks: 8})
		if err != nil {
			t.Fatal(err)
		}
		if o.Window() != 4096 {
			t.Fatalf("window %d", o.Window())
		}
		ids := make([]uint64, o.n)
		for i := range ids {
			ids[i] = o.Sample(e*o.n + uint64(i))
		}
		return ids
	}
	base := epoch(7, 0)
	for name, other := range map[string][]uint64{"seed": epoch(8, 0), "epoch": epoch(7, 1)} {
		same := 0
		for i := range base {
			if base[i] == other[i] {
				same++
			}
		}
		if same > 20 { // chance gives about 1, and 10 within a run that gets the same shards
			t.Errorf("another %s leaves %d of %d samples in place", name, same, len(base))
		}
	}
	if again := epoch(7, 0); !slices.Equal(base, again) {
		t.Error("the same numbers give another order")
	}
}

// TestOrderStaysAsItIs guards the promise that a resumed job goes on with the same samples: the order may never change silently.
func TestOrderStaysAsItIs(t *testing.T) {
	o, err := NewOrder(Shape{Shards: []uint64{5, 3, 9, 1}, Bytes: 1 << 20}, OrderOptions{Seed: 7, Batch: 6, VirtualRanks: 3, Window: 4})
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for pos := range uint64(36) {
		got = append(got, o.Sample(pos))
	}
	want := []uint64{
		3, 2, 8, 17, 13, 12, 0, 1, 6, 7, 14, 11, 4, 5, 9, 10, 15, 16, // epoch 0
		1, 3, 5, 8, 11, 14, 0, 2, 6, 7, 13, 12, 4, 17, 9, 10, 15, 16, // epoch 1
	}
	if !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
	if id, _ := o.Replacement(3, 0); id != 9 {
		t.Errorf("the first replacement at 3 is %d, want %d", id, 9)
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		n     uint64
		bytes int64
		want  uint64
	}{{1000, 1000 * 1024, 4096}, {1000, 1000 * 64 << 10, 1024}, {1000, 1000 * 4 << 20, 64}, {1000, 1000 * 100_000, 671}, {1, 0, 4096}} {
		if got := (Shape{Shards: []uint64{c.n}, Bytes: c.bytes}).Window(); got != c.want {
			t.Errorf("%d samples of %d bytes: window %d, want %d", c.n, c.bytes, got, c.want)
		}
	}
}

func TestStepsAndTail(t *testing.T) {
	o, err := NewOrder(Shape{Shards: []uint64{10_000}, Bytes: 1}, OrderOptions{Batch: 256, VirtualRanks: 8})
	if err != nil {
		t.Fatal(err)
	}
	if steps, unused := o.Steps(10); steps != 390 || unused != 160 {
		t.Errorf("10 epochs are %d steps and %d unused samples", steps, unused)
	}
}

func TestBadOrdersAreRefused(t *testing.T) {
	for _, o := range []OrderOptions{{Batch: 0, VirtualRanks: 1}, {Batch: 8, VirtualRanks: 0}, {Batch: 8, VirtualRanks: 3}} {
		if _, err := NewOrder(Shape{Shards: []uint64{1}}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := NewOrder(Shape{}, OrderOptions{Batch: 1, VirtualRanks: 1}); err == nil {
		t.Error("an empty data set is accepted")
	}
}

func BenchmarkSampleAtPosition(b *testing.B) {
	o, err := NewOrder(Shape{Shards: slices.Repeat([]uint64{1000}, 200), Bytes: 1 << 40}, OrderOptions{Batch: 256, VirtualRanks: 8})
	if err != nil {
		b.Fatal(err)
	}
	for i := range uint64(b.N) {
		o.Sample(keyed.New(1).IntN(i, o.n))
	}
}
