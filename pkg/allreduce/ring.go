package allreduce

import (
	"context"
	"fmt"
	"unsafe"
)

// op names what a stream carries.
type op uint8

const (
	opExponents op = iota + 1 // of a Sum's blocks
	opSum
	opScatter
	opMax
	opGather
	opLengths // of an Exchange's blobs
	opBlobs
	opSum16
)

func (o op) String() string {
	names := [...]string{"nothing", "Sum (exponents)", "Sum", "SumScatter", "Max", "AllGather", "Exchange (lengths)", "Exchange", "Sum (int16)"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("operation %d", o)
}

// stream is one trip of a vector around the ring. The vector is cut in W segments. In a reduction, the partial sums of segment s start at
// rank s+1 and collect every rank's part on their way to rank s, which has the result. In a gathering, segment s starts at rank s, as
// that result or as rank s's own data, and passes every other rank. Frames go on as they arrive, so that all links are busy at once.
type stream struct {
	op             op
	unit           int   // bytes of one element
	align          int   // frames hold a multiple of this many elements, but for the last of a segment
	starts         []int // (W+1): segment s is elements [starts[s], starts[s+1])
	reduce, gather bool
	after          *stream // this one may not start before after is complete

	load  func(p []byte, lo, hi int) // writes this rank's part of [lo, hi) to p
	add   func(p []byte, lo, hi int) // adds it to the partial sums in p
	store func(p []byte, lo, hi int) // takes the complete [lo, hi)

	flags uint16 // what this rank found in its input
	seen  uint16 // what any rank found

	missing int // elements that have not passed this rank in their last form
}

func (s *stream) total() int { return s.starts[len(s.starts)-1] - s.starts[0] }

// chunk is the number of elements in one frame.
func (s *stream) chunk(frameBytes int) int { return max(frameBytes/s.unit/s.align, 1) * s.align }

// run carries streams around the ring, starting them in the given order. It returns when every one is complete.
func (g *Group) run(ctx context.Context, streams []*stream) error {
	for _, s := range streams {
		s.missing = s.total()
		s.seen = s.flags
	}
	if g.link == nil {
		g.runAlone(streams)
		return nil
	}
	start := starter{g: g, streams: streams}
	start.next(0)
	for {
		for len(streams) > 0 && streams[len(streams)-1].missing == 0 {
			streams = streams[:len(streams)-1]
		}
		if len(streams) == 0 {
			return nil
		}
		// What has arrived goes first. The ring cannot fill up until all ranks wait for room: passing a frame on frees one place in the
		// left neighbour's window and takes one in the own; starting one leaves at least one place free; so there is always a place
		// free somewhere, whose owner goes on. (Bubble flow control: Puente et al., "The adaptive bubble router", JPDC 2001.)
		f, err := g.link.take(ctx, start.ready())
		if err != nil {
			return err
		}
		if f == nil {
			err = g.link.send(ctx, start.frame())
		} else {
			err = g.handle(ctx, start.streams, f)
		}
		if err != nil {
			return err
		}
	}
}

// sent is how many bytes a rank sends for s: what starter begins and handle passes on. Each segment of a reduction is sent by all ranks but
// its owner, where it ends; each of a gathering by all but the one before its owner.
func (s *stream) sent(c Config, rank int) uint64 {
	bytes := func(segment int) uint64 {
		n, chunk := s.starts[segment+1]-s.starts[segment], s.chunk(c.FrameBytes)
		return uint64(n*s.unit + (n+chunk-1)/chunk*headerBytes)
	}
	var sum uint64
	for segment := range c.World {
		if s.reduce && segment != rank {
			sum += bytes(segment)
		}
		if s.gather && segment != (rank+1)%c.World {
			sum += bytes(segment)
		}
	}
	return sum
}

// runAlone is run in a ring of one.
func (g *Group) runAlone(streams []*stream) {
	for _, s := range streams {
		n := s.chunk(g.config.FrameBytes)
		for lo := s.starts[0]; lo < s.starts[1]; lo += n {
			hi := min(lo+n, s.starts[1])
			p := g.buffer((hi - lo) * s.unit)
			s.load(p, lo, hi)
			s.store(p, lo, hi)
		}
		s.missing = 0
	}
}

// starter makes this rank's first frames, one stream after the other.
type starter struct {
	g       *Group
	streams []*stream
	at      int // stream
	lo, hi  int // what is left of its segment
}

// next moves to the i-th stream's segment.
func (t *starter) next(i int) {
	t.at = i
	if i < len(t.streams) {
		s := t.streams[i]
		segment := t.segment(s)
		t.lo, t.hi = s.starts[segment], s.starts[segment+1]
	}
}

func (t *starter) segment(s *stream) int {
	if s.reduce {
		return t.g.link.left.rank
	}
	return t.g.config.Rank
}

// ready says whether a frame may start now.
func (t *starter) ready() bool {
	for t.at < len(t.streams) && t.lo == t.hi {
		t.next(t.at + 1)
	}
	if t.at == len(t.streams) {
		return false
	}
	s := t.streams[t.at]
	return s.after == nil || s.after.missing == 0
}

// frame makes the next frame, when ready.
func (t *starter) frame() *frame {
	s := t.streams[t.at]
	lo, hi := t.lo, min(t.lo+s.chunk(t.g.config.FrameBytes), t.hi)
	f := t.g.link.frame((hi - lo) * s.unit)
	f.header = header{
		kind: kindData, op: s.op, flags: s.flags, step: t.g.step.Load(), collective: t.g.collective, stream: uint32(t.at),
		offset: uint64(lo), total: uint64(s.total()), segment: uint16(t.segment(s)),
	}
	s.load(f.payload(), lo, hi)
	if !s.reduce {
		f.header.flags |= flagFinal
		s.store(f.payload(), lo, hi)
	}
	if !s.reduce || !s.gather {
		s.missing -= hi - lo
	}
	t.lo = hi
	return f
}

// handle adds this rank's part to a frame or takes its result, and passes it on if there is somebody who lacks it.
func (g *Group) handle(ctx context.Context, streams []*stream, f *frame) error {
	s, lo, hi, err := g.locate(streams, f)
	if err != nil {
		return err
	}
	p, segment := f.payload(), int(f.header.segment)
	onward := true
	if f.header.flags&flagFinal == 0 {
		s.add(p, lo, hi)
		f.summed = false
		f.header.flags |= s.flags
		if segment == g.config.Rank {
			s.store(p, lo, hi)
			f.header.flags |= flagFinal
			onward = s.gather
		}
	} else {
		s.store(p, lo, hi)
		onward = segment != g.link.right.rank
	}
	s.seen |= f.header.flags
	if f.header.flags&flagFinal != 0 || !s.gather {
		s.missing -= hi - lo
	}
	if !onward {
		g.link.release(f)
		return nil
	}
	return g.link.send(ctx, f)
}

// locate finds the stream and elements that a frame belongs to. Frames of one rank arrive in order, so one that does not fit what this
// rank runs means that the two have gone different ways.
func (g *Group) locate(streams []*stream, f *frame) (s *stream, lo, hi int, err error) {
	h := f.header
	if int(h.stream) < len(streams) {
		s = streams[h.stream]
	}
	step := g.step.Load()
	if s == nil || h.op != s.op || h.collective != g.collective || h.step != step || h.total != uint64(s.total()) || int(h.segment) >= g.config.World {
		mine := streams[len(streams)-1]
		if s != nil {
			mine = s
		}
		return nil, 0, 0, fmt.Errorf("%w: rank %d sent %s of %d as number %d in step %d; rank %d runs %s of %d as number %d in step %d; "+
			"all ranks must make the same calls in the same order", ErrOutOfStep, g.link.left.rank, h.op, h.total, h.collective, h.step,
			g.config.Rank, mine.op, mine.total(), g.collective, step)
	}
	first, last := uint64(s.starts[h.segment]), uint64(s.starts[h.segment+1])
	n := uint64(len(f.payload()) / s.unit)
	passes := s.reduce // partial sums do, results do in a gathering
	if h.flags&flagFinal != 0 {
		passes = s.gather
	}
	if !passes || h.offset < first || h.offset > last || n > last-h.offset || len(f.payload())%s.unit != 0 || (h.offset-first)%uint64(s.align) != 0 {
		return nil, 0, 0, fmt.Errorf("%w: rank %d sent %d elements at %d of segment %d–%d of %s", ErrOutOfStep, g.link.left.rank, n, h.offset, first, last, s.op)
	}
	return s, int(h.offset), int(h.offset + n), nil
}

// int32s views a payload as integers: payloads are 8-aligned and little-endian, as the machine is (see Config.filled).
func int32s(p []byte) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(p))), len(p)/4)
}

// int16s is int32s for integers of half the width.
func int16s(p []byte) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(p))), len(p)/2)
}

// bytesOf views values as bytes.
func bytesOf[T int32 | int64 | uint64 | float32 | float64](x []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(zero)))
}
