package shard

import (
	"context"
	"fmt"
	"io"
)

// Reader yields the samples of one virtual rank in the order of their positions, fetched ahead. One goroutine at a time may use it.
type Reader struct {
	data   *Dataset
	order  *Order
	v      uint64
	next   uint64 // how many of v's positions lie before the next one
	stream *stream
}

// NewReader starts reading at the first position of virtual rank v that is not before start. It fetches until ctx ends or Close.
func NewReader(ctx context.Context, d *Dataset, order *Order, v, start uint64, o ReadOptions) (*Reader, error) {
	if v >= order.v {
		return nil, fmt.Errorf("read virtual rank %d: there are %d", v, order.v)
	}
	if d.Len() != order.n {
		return nil, fmt.Errorf("read %s: it has %d samples, its order %d", d.uri, d.Len(), order.n)
	}
	r := &Reader{data: d, order: order, v: v, next: order.before(v, start)}
	end := ^uint64(0)
	if o.End > 0 {
		end = order.before(v, o.End)
	}
	next := r.next
	r.stream = newStream(ctx, d, o, func() []uint64 {
		ids := order.rest(v, next, end)
		next += uint64(len(ids))
		return ids
	})
	return r, nil
}

// rest lists the samples of virtual rank v from its m-th position to the end of that position's window, or to its end-th position.
func (o *Order) rest(v, m, end uint64) []uint64 {
	if m >= end {
		return nil
	}
	epoch, _, i := o.place(o.nth(v, m))
	p := o.epoch(epoch)
	last := min((i/o.window+1)*o.window, p.runs[v+1]-p.runs[v], i+(end-m))
	ids := make([]uint64, 0, last-i)
	for ; i < last; i++ {
		ids = append(ids, o.sample(p, v, i))
	}
	return ids
}

// Next returns the next position and its sample. It returns io.EOF at ReadOptions.End. After another error than ctx's, the reader is of
// no more use.
func (r *Reader) Next(ctx context.Context) (pos uint64, s Sample, err error) {
	s, ok, err := r.stream.next(ctx)
	if err != nil {
		return 0, Sample{}, err
	}
	if !ok {
		return 0, Sample{}, io.EOF
	}
	pos = r.order.nth(r.v, r.next)
	r.next++
	return pos, s, nil
}

// Replacement reads the sample to try after the one at a position, and attempt replacements of it before, could not be decoded.
func (r *Reader) Replacement(ctx context.Context, pos, attempt uint64) (Sample, error) {
	id, ok := r.order.Replacement(pos, attempt)
	if !ok {
		return Sample{}, fmt.Errorf("replace %s: %w after %d attempts", r.data.Describe(r.order.Sample(pos)), ErrExhausted, attempt)
	}
	return r.data.Read(ctx, id)
}

// Close ends the fetching and returns once it has ended.
func (r *Reader) Close() { r.stream.close() }

// Read reads one sample.
func (d *Dataset) Read(ctx context.Context, id uint64) (Sample, error) {
	ids, raw := []uint64{id}, make([][]byte, 1)
	transfers, _ := d.plan(ids, raw)
	if err := transfers[0].run(ctx, d.retry); err != nil {
		return Sample{}, err
	}
	return parseSample(id, d.entry(id).Key, raw[0])
}

// Scan calls f for every sample, in order of global index, fetched ahead. It ends at the first error.
func Scan(ctx context.Context, d *Dataset, f func(Sample) error) error {
	return ScanRange(ctx, d, 0, d.Len(), f)
}

// ScanRange is Scan for the samples [first, end).
func ScanRange(ctx context.Context, d *Dataset, first, end uint64, f func(Sample) error) error {
	end = min(end, d.Len())
	next := first
	s := newStream(ctx, d, ReadOptions{}, func() (ids []uint64) {
		for bytes := int64(0); next < end && bytes < maxRange && len(ids) < windowMax; next++ {
			ids = append(ids, next)
			bytes += d.entry(next).Size
		}
		return ids
	})
	defer s.close()
	for {
		sample, ok, err := s.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if err := f(sample); err != nil {
			return err
		}
	}
}
