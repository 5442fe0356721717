package allreduce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// AllGather concatenates the tensors of all V virtual ranks along the first axis, in order of virtual rank: (n, …) → (V·n, …). Elements
// may be float32, float64, int32, int64 or uint64. The result is new.
func (g *Group) AllGather(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	var out *tensor.Dense
	err := g.collect(ctx, "AllGather", func() error {
		if err := g.checkOwn(own); err != nil {
			return err
		}
		shape := own[0].Shape().Clone()
		if shape.Dims() == 0 {
			return errors.New("tensors without axes; expected at least one axis to concatenate along")
		}
		shape[0] *= g.config.VirtualRanks
		result := tensor.New(tensor.Of(own[0].Dtype()), tensor.WithShape(shape...))
		to, err := memory(result)
		if err != nil {
			return err
		}
		part := len(to) / g.config.VirtualRanks
		first, _ := g.Owned()
		for i, t := range own {
			from, err := memory(t)
			if err != nil {
				return err
			}
			copy(to[(first+i)*part:], from)
		}
		if err := g.run(ctx, []*stream{gathering(opGather, g.byOwner(part), to)}); err != nil {
			return err
		}
		out = result
		return nil
	})
	return out, err
}

// Exchange hands every rank's blob to every rank: the result holds one for each rank, in order, new. It is for what is not a tensor:
// inventories, counters, hashes; at most 1 GiB each.
func (g *Group) Exchange(ctx context.Context, blob []byte) ([][]byte, error) {
	var out [][]byte
	err := g.collect(ctx, "Exchange", func() error {
		w, r := g.config.World, g.config.Rank
		lengths := make([]byte, 8*w)
		binary.LittleEndian.PutUint64(lengths[8*r:], uint64(len(blob)))
		each := make([]int, w+1)
		for i := range each {
			each[i] = 8 * i
		}
		if err := g.run(ctx, []*stream{gathering(opLengths, each, lengths)}); err != nil {
			return err
		}
		starts, err := blobStarts(lengths)
		if err != nil {
			return err
		}
		all := make([]byte, starts[w])
		copy(all[starts[r]:], blob)
		if err := g.run(ctx, []*stream{gathering(opBlobs, starts, all)}); err != nil {
			return err
		}
		for i := range w {
			out = append(out, all[starts[i]:starts[i+1]:starts[i+1]])
		}
		return nil
	})
	return out, err
}

// mostBlob bounds what a rank may say that its blob has, before room is made for it.
const mostBlob = 1 << 30

// blobStarts lays blobs of the announced lengths end to end.
func blobStarts(lengths []byte) ([]int, error) {
	starts := make([]int, len(lengths)/8+1)
	for i := range len(starts) - 1 {
		n := binary.LittleEndian.Uint64(lengths[8*i:])
		if n > mostBlob {
			return nil, fmt.Errorf("rank %d announces a blob of %d bytes; expected at most %d", i, n, mostBlob)
		}
		starts[i+1] = starts[i] + int(n)
	}
	return starts, nil
}

// gathering is the stream that fills in what of p the other ranks own; rank r owns [starts[r], starts[r+1]).
func gathering(o op, starts []int, p []byte) *stream {
	return &stream{
		op: o, unit: 1, align: 1, starts: starts, gather: true,
		load:  func(q []byte, lo, hi int) { copy(q, p[lo:hi]) },
		store: func(q []byte, lo, hi int) { copy(p[lo:hi], q) },
	}
}
