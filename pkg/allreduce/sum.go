package allreduce

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/task"
)

// Sum is SumInto a new tensor.
func (g *Group) Sum(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	var out *tensor.Dense
	if len(own) > 0 && own[0] != nil && own[0].Dtype() == tensor.Float32 {
		out = newLike(own[0].Shape(), make([]float32, own[0].Shape().TotalSize()))
	}
	if err := g.SumInto(ctx, out, own); err != nil {
		return nil, err
	}
	return out, nil
}

// SumInto adds the float32 tensors of all V virtual ranks, element by element, in block fixed point: the error of an element is at most
// V/2 units of 2^(e−31+⌈log₂V⌉), where 2^e bounds all values of its block of 128 on all virtual ranks. It returns task.ErrNotFinite on
// every rank if any value is NaN or Inf or the sum exceeds float32; the group stays usable. own is only read; sum, which has its shape and
// is none of it, is overwritten, and after an error holds nothing of use.
func (g *Group) SumInto(ctx context.Context, sum *tensor.Dense, own []*tensor.Dense) error {
	return g.collect(ctx, "Sum", func() error { return g.sum(ctx, sum, own, WireInt32, nil) })
}

// SumGradients is SumInto in the format of Config.Wire. With WireInt16, a value is rounded at random to a multiple of 2^e/(2^b − 1), where
// 2^e bounds its block and b is 15 − ⌈log₂V⌉; the error of a sum has mean 0.
func (g *Group) SumGradients(ctx context.Context, sum *tensor.Dense, own []*tensor.Dense) error {
	s, err := g.BeginSumGradients(ctx, sum, own)
	if err != nil {
		return err
	}
	return s.Wait()
}

// sum is the body of the collective. p is nil where all summands are complete.
func (g *Group) sum(ctx context.Context, sum *tensor.Dense, own []*tensor.Dense, wire Wire, p *progress) error {
	values, err := g.float32s(own)
	if err != nil {
		return err
	}
	if sum == nil || !sum.Shape().Eq(own[0].Shape()) || sum.Dtype() != tensor.Float32 || !rowMajor(sum) {
		return fmt.Errorf("the sum of tensors of %v shall go into %v; expected a contiguous row-major one of their shape", own[0].Shape(), sum)
	}
	n := len(values[0])
	code := &fixedPoint{own: values, sum: sum.Float32s(), exponents: g.agreedExponents(ceilBlocks(n)), bits: valueBits(g.config.VirtualRanks), progress: p}
	if wire == WireInt16 {
		lo, hi := g.Owned()
		code.bits = valueBits16(g.config.VirtualRanks)
		code.narrow = newNarrow(keyed.New(g.config.Seed).For("allreduce.round"), g.step.Load(), g.narrowSums.Add(1), lo, hi)
	}
	if err := g.run(ctx, g.sumStreams(code)); err != nil {
		return err
	}
	if code.overflow {
		return &sharedError{fmt.Errorf("%w: a value of some virtual rank, or the sum", task.ErrNotFinite)}
	}
	return nil
}

// sumStreams cuts a sum into buckets of two streams each: exponents, then data. The exponents of the next bucket go out before a
// bucket's data, so that their way around the ring costs no waiting.
func (g *Group) sumStreams(code *fixedPoint) []*stream {
	cuts := g.buckets(code)
	var streams, data []*stream
	for i := len(cuts) - 1; i > 0; i-- {
		exponents := g.exponentStream(code, cuts[i-1], cuts[i])
		streams = append(streams, exponents)
		if len(data) > 0 {
			streams = append(streams, data[len(data)-1])
		}
		data = append(data, g.dataStream(code, exponents))
	}
	if len(data) > 0 {
		streams = append(streams, data[len(data)-1])
	}
	return streams
}

// buckets are where a sum's blocks are cut. Backward finishes gradients from their end to their start, so the last bucket is the first to go, and
// the step waits for what goes last: the first buckets are smaller, each as large as all before it together, from one frame for
// each rank on.
func (g *Group) buckets(code *fixedPoint) []int {
	blocks, most, unit := len(code.exponents), g.config.BucketElements/Block, 4
	if code.narrow != nil {
		unit = 2
	}
	cuts := []int{0}
	for at := g.config.World * (g.config.FrameBytes / unit / Block); at < min(most, blocks); at *= 2 {
		cuts = append(cuts, at)
	}
	for at := most; at < blocks; at += most {
		cuts = append(cuts, at)
	}
	return append(cuts, blocks)
}

// exponentStream agrees on the exponents of blocks [lo, hi), once this rank's summands are final there. The data of the bucket follow, when
// every rank's have been.
func (g *Group) exponentStream(code *fixedPoint, lo, hi int) *stream {
	return &stream{
		op: opExponents, unit: 1, align: 1, starts: g.even(lo, hi), reduce: true, gather: true, own: code.progress, from: lo * Block,
		load:  func(p []byte, lo, _ int) { code.blockExponents(p, lo) },
		add:   func(p []byte, lo, _ int) { code.mergeExponents(p, lo) },
		store: func(p []byte, lo, _ int) { code.agree(p, lo) },
	}
}

func (g *Group) dataStream(code *fixedPoint, exponents *stream) *stream {
	starts := make([]int, len(exponents.starts))
	for i, block := range exponents.starts {
		starts[i] = min(block*Block, len(code.sum))
	}
	if code.narrow != nil {
		return &stream{
			op: opSum16, unit: 2, align: Block, starts: starts, reduce: true, gather: true, after: exponents,
			load:  func(p []byte, lo, _ int) { code.set16(int16s(p), lo) },
			add:   func(p []byte, lo, _ int) { code.add16(int16s(p), lo) },
			store: func(p []byte, lo, _ int) { code.result16(int16s(p), lo) },
		}
	}
	// Whoever completes a segment turns it into floats, once for all ranks. In a ring of one that is whoever begins it.
	first, last := starts[g.config.Rank], starts[g.config.Rank+1]
	decode := func(p []byte, lo int) {
		if first <= lo && lo < last {
			code.decode(p, lo)
		}
	}
	return &stream{
		op: opSum, unit: 4, align: Block, starts: starts, reduce: true, gather: true, after: exponents,
		load: func(p []byte, lo, _ int) {
			code.set(int32s(p), lo)
			decode(p, lo)
		},
		add: func(p []byte, lo, _ int) {
			code.add(int32s(p), lo)
			decode(p, lo)
		},
		store: func(p []byte, lo, _ int) { code.result(p, lo) },
	}
}

// byOwner gives each rank the parts of its virtual ranks, all of the same number of elements.
func (g *Group) byOwner(part int) []int {
	starts := make([]int, g.config.World+1)
	for r, v := range g.config.Starts {
		starts[r] = v * part
	}
	return starts
}

// even cuts [lo, hi) into a segment for each rank.
func (g *Group) even(lo, hi int) []int {
	starts := make([]int, g.config.World+1)
	for s := range starts {
		starts[s] = lo + (hi-lo)*s/g.config.World
	}
	return starts
}
