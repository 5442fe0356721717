package shard

import (
	"fmt"
	"sort"
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// Shape is all of a data set that the order of its samples depends on.
type Shape struct {
	Shards []uint64 // samples in each shard
	Bytes  int64    // of all samples
}

// Len is the number of samples.
func (s Shape) Len() uint64 {
	var n uint64
	for _, c := range s.Shards {
		n += c
	}
	return n
}

const (
	windowBytes = 64 << 20 // aimed at
	windowMin   = 64       // samples
	windowMax   = 4096     // samples
)

// Window is how many samples a run is shuffled among by default: about 64 MiB of them, from 64 to 4,096.
func (s Shape) Window() uint64 {
	n := s.Len()
	if n == 0 || s.Bytes <= 0 {
		return windowMax
	}
	mean := max(uint64(s.Bytes)/n, 1)
	return min(max(windowBytes/mean, windowMin), windowMax)
}

// OrderOptions are the numbers that the order of samples depends on beside the data set's Shape.
type OrderOptions struct {
	Seed         uint64
	Batch        uint64 // B, samples in a global batch; a multiple of VirtualRanks
	VirtualRanks uint64 // V
	Window       uint64 // samples; 0: Shape.Window
}

// Order says which sample stands at which position of a job's stream. It is arithmetic: any position can be looked up at any time.
//
// The stream is the concatenation of epochs of N samples. Step t takes the positions [tB, (t+1)B), and virtual rank v of it
// [tB + v·B/V, tB + (v+1)·B/V). In an epoch, virtual rank v thus has n_v positions. All shards, permuted by (seed, epoch), are laid end to
// end and cut in order of v into runs of n_v samples; within a run, every window of consecutive samples is permuted. So every epoch
// uses every sample once, and each virtual rank reads few contiguous slices.
type Order struct {
	shape  Shape
	n      uint64 // samples
	b      uint64 // B
	v      uint64 // V
	window uint64
	shards keyed.Key
	within keyed.Key
	spare  keyed.Key
	starts []uint64 // global index of each shard's first sample

	mu     sync.Mutex
	recent []*epochPlan // the last few epochs looked up
}

// NewOrder checks the numbers and returns the order.
func NewOrder(s Shape, o OrderOptions) (*Order, error) {
	n := s.Len()
	switch {
	case n == 0:
		return nil, fmt.Errorf("order samples: %w", ErrNoSamples)
	case o.VirtualRanks == 0 || o.Batch == 0 || o.Batch%o.VirtualRanks != 0:
		return nil, fmt.Errorf("order samples: the batch is %d and the number of virtual ranks %d; expected a batch that is a positive multiple of them", o.Batch, o.VirtualRanks)
	}
	key := keyed.New(o.Seed).For("shard")
	order := &Order{
		shape: s, n: n, b: o.Batch, v: o.VirtualRanks, window: o.Window,
		shards: key.For("order"), within: key.For("window"), spare: key.For("replacement"),
	}
	if order.window == 0 {
		order.window = s.Window()
	}
	start := uint64(0)
	for _, c := range s.Shards {
		order.starts = append(order.starts, start)
		start += c
	}
	return order, nil
}

// Len is the number of samples in an epoch.
func (o *Order) Len() uint64 { return o.n }

// Window is how many samples are shuffled among each other.
func (o *Order) Window() uint64 { return o.window }

// Steps is how many whole batches some epochs make, and how many samples at their end fill none.
func (o *Order) Steps(epochs uint64) (steps, unused uint64) {
	return epochs * o.n / o.b, epochs * o.n % o.b
}

// VirtualRank is the virtual rank that a position belongs to.
func (o *Order) VirtualRank(pos uint64) uint64 { return pos % o.b / (o.b / o.v) }

// before is how many positions below x belong to virtual rank v.
func (o *Order) before(v, x uint64) uint64 {
	share := o.b / o.v
	in := x % o.b
	switch low := v * share; {
	case in <= low:
		in = 0
	default:
		in = min(in-low, share)
	}
	return x/o.b*share + in
}

// nth is the m-th position of virtual rank v, counted from 0 over the whole stream.
func (o *Order) nth(v, m uint64) uint64 {
	share := o.b / o.v
	return m/share*o.b + v*share + m%share
}

// count is how many samples virtual rank v has in an epoch.
func (o *Order) count(epoch, v uint64) uint64 {
	return o.before(v, (epoch+1)*o.n) - o.before(v, epoch*o.n)
}

// place is a position's epoch, virtual rank, and number among that rank's positions in the epoch.
func (o *Order) place(pos uint64) (epoch, v, i uint64) {
	epoch, v = pos/o.n, o.VirtualRank(pos)
	return epoch, v, o.before(v, pos) - o.before(v, epoch*o.n)
}

// Sample is the global index of the sample at a position.
func (o *Order) Sample(pos uint64) uint64 {
	epoch, v, i := o.place(pos)
	return o.sample(o.epoch(epoch), v, i)
}

// sample is the i-th sample of virtual rank v in an epoch.
func (o *Order) sample(p *epochPlan, v, i uint64) uint64 {
	first := i / o.window * o.window
	size := min(o.window, p.runs[v+1]-p.runs[v]-first)
	within := o.within.At(p.epoch, v, first/o.window).Permute(i-first, size)
	line := p.runs[v] + first + within
	s := p.shardOn(line)
	return o.starts[p.shards[s]] + line - p.ends[s]
}

// Slice is a contiguous range of a shard's samples.
type Slice struct {
	Shard        int // in the data set's order
	First, Count uint64
}

// Slices are what virtual rank v reads in an epoch, in reading order.
func (o *Order) Slices(epoch, v uint64) []Slice {
	p := o.epoch(epoch)
	var all []Slice
	for line := p.runs[v]; line < p.runs[v+1]; {
		s := p.shardOn(line)
		end := min(p.ends[s+1], p.runs[v+1])
		all = append(all, Slice{Shard: int(p.shards[s]), First: line - p.ends[s], Count: end - line})
		line = end
	}
	return all
}

// Replacement is the sample to try after the one at a position, and attempt replacements of it before, could not be decoded. Candidates
// differ from it and from each other. ok is false when there is none left.
func (o *Order) Replacement(pos, attempt uint64) (id uint64, ok bool) {
	if attempt >= o.n-1 {
		return 0, false
	}
	key, corrupt := o.spare.At(pos), o.Sample(pos)
	for i := uint64(0); ; i++ {
		id := key.Permute(i, o.n)
		if id == corrupt {
			attempt++
		}
		if i == attempt {
			return id, true
		}
	}
}

// epochPlan is one epoch's line of shards and how it is cut.
type epochPlan struct {
	epoch  uint64
	shards []uint32 // in the epoch's order
	ends   []uint64 // ends[k] is where the k-th of them begins on the line; one more entry holds the total
	runs   []uint64 // runs[v] is where virtual rank v's run begins; one more entry holds the total
}

// shardOn is which shard of the epoch's order a place on the line belongs to.
func (p *epochPlan) shardOn(line uint64) int {
	return sort.Search(len(p.shards), func(k int) bool { return p.ends[k+1] > line })
}

// recentEpochs is how many epochs' plans are kept: readers on both sides of an epoch's end ask in turn.
const recentEpochs = 4

func (o *Order) epoch(e uint64) *epochPlan {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.recent {
		if p.epoch == e {
			return p
		}
	}
	p := &epochPlan{epoch: e, ends: []uint64{0}, runs: []uint64{0}}
	key, n := o.shards.At(e), uint64(len(o.shape.Shards))
	for k := range n {
		s := key.Permute(k, n)
		p.shards = append(p.shards, uint32(s))
		p.ends = append(p.ends, p.ends[k]+o.shape.Shards[s])
	}
	for v := range o.v {
		p.runs = append(p.runs, p.runs[v]+o.count(e, v))
	}
	if len(o.recent) == recentEpochs {
		o.recent = o.recent[1:]
	}
	o.recent = append(o.recent, p)
	return p
}
