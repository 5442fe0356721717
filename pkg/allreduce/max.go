package allreduce

import (
	"context"
	"math"

	"gorgonia.org/tensor"
)

// Max is the element-wise maximum of float32 tensors over all virtual ranks. Infinities are values like others, +0 is larger than −0, and
// NaN is larger than all: the result is NaN where any virtual rank has one. The result is new.
func (g *Group) Max(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	var out *tensor.Dense
	err := g.collect(ctx, "Max", func() error {
		values, err := g.float32s(own)
		if err != nil {
			return err
		}
		result := make([]float32, len(values[0]))
		s := &stream{
			op: opMax, unit: 4, align: 1, starts: g.even(0, len(result)), reduce: true, gather: true,
			load: func(p []byte, lo, hi int) {
				q := int32s(p)
				for i, v := range values[0][lo:hi] {
					q[i] = ordered(v)
				}
				raise(q, values[1:], lo)
			},
			add: func(p []byte, lo, hi int) { raise(int32s(p), values, lo) },
			store: func(p []byte, lo, hi int) {
				for i, k := range int32s(p) {
					result[lo+i] = unordered(k)
				}
			},
		}
		if err := g.run(ctx, []*stream{s}); err != nil {
			return err
		}
		out = newLike(own[0].Shape(), result)
		return nil
	})
	return out, err
}

func raise(q []int32, values [][]float32, lo int) {
	for _, x := range values {
		for i, v := range x[lo : lo+len(q)] {
			q[i] = max(q[i], ordered(v))
		}
	}
}

// ordered maps floats to integers in the same order, so that a maximum is one of integers, whatever the order of the comparisons.
func ordered(v float32) int32 {
	if v != v {
		return 0x7fc00000 // one NaN for all: above +Inf
	}
	k := int32(math.Float32bits(v))
	return k ^ k>>31&0x7fffffff
}

// unordered is the inverse of ordered.
func unordered(k int32) float32 { return math.Float32frombits(uint32(k ^ k>>31&0x7fffffff)) }
