package allreduce

import (
	"context"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/sslctl/sslctl/pkg/simd"
	"github.com/sslctl/sslctl/pkg/task"
)

// SumScatter adds float32 tensors of shape (V·n, …) over all virtual ranks and returns to the owner of virtual rank v its rows
// [v·n, (v+1)·n), in new tensors. The caller promises that every value, and every sum over any of the virtual ranks, is within ±bound,
// but for rounding, which is forgiven up to a thousandth: then one exponent serves for all elements, and their error is at most V/2 units
// of 2^(e−30), where 2^e ≥ bound is the next power of two. A value outside the bound is ErrBound on every rank, NaN and Inf are
// task.ErrNotFinite on every rank; the group stays usable. A total outside ±2^e is ErrBound on its owner, as far as it can be told: from
// 3·2^e on it wraps around.
func (g *Group) SumScatter(ctx context.Context, own []*tensor.Dense, bound float32) ([]*tensor.Dense, error) {
	var out []*tensor.Dense
	err := g.collect(ctx, "SumScatter", func() error {
		values, err := g.float32s(own)
		if err != nil {
			return err
		}
		shape := own[0].Shape()
		if shape.Dims() == 0 || shape[0]%g.config.VirtualRanks != 0 {
			return fmt.Errorf("tensors of shape %v; expected a first axis that is a multiple of %d, one part for each virtual rank", shape, g.config.VirtualRanks)
		}
		if !(bound > 0) || math.IsInf(float64(bound), 0) {
			return fmt.Errorf("bound is %g; expected a positive finite number", bound)
		}
		sums, err := g.scatter(ctx, values, bound)
		if err != nil {
			return err
		}
		lo, hi := g.Owned()
		part := shape.Clone()
		part[0] /= g.config.VirtualRanks
		n := len(sums) / (hi - lo)
		for v := range hi - lo {
			out = append(out, newLike(part, sums[v*n:(v+1)*n:(v+1)*n]))
		}
		return nil
	})
	return out, err
}

// forgiven is the part of the bound by which a value or a sum may exceed it: a sum of float32 products that is 1 by its mathematics
// easily comes out as 1.0000004. What is left of the int32 has room for it.
const forgiven = 0x1p-10

func (g *Group) scatter(ctx context.Context, values [][]float32, bound float32) ([]float32, error) {
	_, e := math.Frexp(float64(bound))
	if pow2(e-1) == float64(bound) {
		e-- // bound is a power of two itself
	}
	scale, unit := pow2(scatterBits-e), pow2(e-scatterBits)
	part := len(values[0]) / g.config.VirtualRanks
	starts := g.byOwner(part)
	first, last := starts[g.config.Rank], starts[g.config.Rank+1]
	sums := make([]float32, last-first)
	outside := false
	s := &stream{
		op: opScatter, unit: 4, align: 1, starts: starts, reduce: true, flags: inspect(values, min(bound*(1+forgiven), math.MaxFloat32)),
		load: func(p []byte, lo, hi int) {
			for k, x := range values {
				if k == 0 {
					simd.EncodeFixed(int32s(p), x[lo:hi], scale)
				} else {
					simd.AddFixed(int32s(p), x[lo:hi], scale)
				}
			}
		},
		add: func(p []byte, lo, hi int) {
			for _, x := range values {
				simd.AddFixed(int32s(p), x[lo:hi], scale)
			}
		},
		store: func(p []byte, lo, hi int) {
			q := int32s(p)
			const most = (1 + forgiven) * (1 << scatterBits)
			for _, v := range q {
				outside = outside || v > most || v < -most
			}
			simd.DecodeFixed(sums[lo-first:hi-first], q, unit)
		},
	}
	if err := g.run(ctx, []*stream{s}); err != nil {
		return nil, err
	}
	switch {
	case s.seen&flagNotFinite != 0:
		return nil, &sharedError{fmt.Errorf("%w: a value of some virtual rank", task.ErrNotFinite)}
	case s.seen&flagBound != 0:
		return nil, &sharedError{fmt.Errorf("%w: a value of some virtual rank is outside ±%g", ErrBound, bound)}
	case outside:
		return nil, fmt.Errorf("%w: a sum is outside ±%g", ErrBound, bound)
	}
	return sums, nil
}

// inspect returns what every rank must learn about the own input. Every segment visits all ranks on its way to its owner, so flags that
// are merged into the frames on the way reach every rank without a round of their own.
func inspect(values [][]float32, bound float32) uint16 {
	flags := uint16(0)
	for _, x := range values {
		most := simd.MaxMagnitude(x)
		if most > math.Float32bits(bound) {
			flags |= flagBound
		}
		if most >= math.Float32bits(float32(math.Inf(1))) {
			flags |= flagNotFinite
		}
	}
	return flags
}
