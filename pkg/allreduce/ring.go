package allreduce

import (
	"context"
	"fmt"
	"slices"
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
	after          *stream   // this one may not start before after is complete
	own            *progress // of this rank's part, which is known when all of it is final from element from on; nil: it is known
	from           int

	load  func(p []byte, lo, hi int) // writes this rank's part of [lo, hi) to p
	add   func(p []byte, lo, hi int) // adds it to the partial sums in p
	store func(p []byte, lo, hi int) // takes the complete [lo, hi)

	flags uint16 // what this rank found in its input
	seen  uint16 // what any rank found

	missing     int // elements that have not passed this rank in their last form
	start, rest int // this rank's segment, of which [start, rest) has not been started
}

func (s *stream) total() int { return s.starts[len(s.starts)-1] - s.starts[0] }

// chunk is the number of elements in one frame.
func (s *stream) chunk(frameBytes int) int { return max(frameBytes/s.unit/s.align, 1) * s.align }

// known says whether this rank's part of s has its final values.
func (s *stream) known() bool { return s.own == nil || s.own.from(s.from) }

// run carries streams around the ring, starting them in the given order, as far as this rank's part of them is known. It returns when every
// one is complete.
func (g *Group) run(ctx context.Context, streams []*stream) error {
	for _, s := range streams {
		s.missing = s.total()
		s.seen = s.flags
	}
	if g.link == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		g.runAlone(streams)
		return nil
	}
	start := newStarter(g, streams)
	for {
		for len(streams) > 0 && streams[len(streams)-1].missing == 0 {
			streams = streams[:len(streams)-1]
		}
		if len(streams) == 0 {
			return nil
		}
		// What has arrived goes first. The ring cannot fill up until all ranks wait for room: passing a frame on frees one place in the
		// left neighbour's window and takes one in the own; starting one leaves at least one place free; so there is always a place
		// free somewhere, whose owner goes on. (Bubble flow control: Puente et al., "The adaptive bubble router", JPDC 2001.) A frame that
		// is set aside has left the ring, and enters it again as one that is started.
		f, err := g.link.take(ctx, start)
		if err != nil {
			return err
		}
		if f == nil {
			f = start.frame()
		} else if f, err = g.handle(start, f); err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if err := g.link.send(ctx, f); err != nil {
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

// starter makes this rank's first frames, one stream after the other. Streams whose part here is not known yet are passed over, and what
// arrives for them is set aside: frames of exponents alone, since data follow when all ranks' exponents have.
type starter struct {
	g       *Group
	streams []*stream
	first   int       // streams before it have been started wholly
	aside   []arrival // in order
	own     *progress // of all streams that have one
}

// arrival is a frame with what it holds.
type arrival struct {
	*frame
	s      *stream
	lo, hi int
}

func newStarter(g *Group, streams []*stream) *starter {
	t := &starter{g: g, streams: streams}
	for _, s := range streams {
		segment := t.segment(s)
		s.start, s.rest = s.starts[segment], s.starts[segment+1]
		if s.own != nil {
			t.own = s.own
		}
	}
	return t
}

func (t *starter) segment(s *stream) int {
	if s.reduce {
		return t.g.link.left.rank
	}
	return t.g.config.Rank
}

// next is the stream to start, or -1 if none may be started now.
func (t *starter) next() int {
	for i := t.first; i < len(t.streams); i++ {
		s := t.streams[i]
		switch {
		case s.start == s.rest && i == t.first:
			t.first++
		case s.start == s.rest || !s.known():
		case s.after == nil || s.after.missing == 0:
			return i
		default:
			return -1
		}
	}
	return -1
}

// resumable is the first frame of those set aside that may go on, or -1.
func (t *starter) resumable() int {
	return slices.IndexFunc(t.aside, func(a arrival) bool { return a.s.known() })
}

// ready says whether frame has one now.
func (t *starter) ready() bool { return t.resumable() >= 0 || t.next() >= 0 }

// complete says whether this rank's part of all streams is known.
func (t *starter) complete() bool { return t.own == nil || t.own.from(0) }

// moved has an element when more of this rank's part has become known.
func (t *starter) moved() <-chan struct{} {
	if t.own == nil {
		return nil
	}
	return t.own.moved
}

// frame makes the next frame, when ready; nil if it went no further.
func (t *starter) frame() *frame {
	if i := t.resumable(); i >= 0 {
		a := t.aside[i]
		t.aside = slices.Delete(t.aside, i, i+1)
		return t.g.pass(a)
	}
	at := t.next()
	s := t.streams[at]
	lo, hi := s.start, min(s.start+s.chunk(t.g.config.FrameBytes), s.rest)
	f := t.g.link.frame((hi - lo) * s.unit)
	f.header = header{
		kind: kindData, op: s.op, flags: s.flags, step: t.g.step.Load(), collective: t.g.collective, stream: uint32(at),
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
	s.start = hi
	return f
}

// handle does what is to be done with a frame that has arrived, and returns it if it has to go on now.
func (g *Group) handle(start *starter, f *frame) (*frame, error) {
	s, lo, hi, err := g.locate(start.streams, f)
	if err != nil {
		return nil, err
	}
	a := arrival{f, s, lo, hi}
	if f.header.flags&flagFinal == 0 && !s.known() {
		start.aside = append(start.aside, a)
		return nil, nil
	}
	return g.pass(a), nil
}

// pass adds this rank's part to a frame or takes its result, and returns it if there is somebody who lacks it.
func (g *Group) pass(a arrival) *frame {
	f, s := a.frame, a.s
	p, segment := f.payload(), int(f.header.segment)
	onward := true
	if f.header.flags&flagFinal == 0 {
		s.add(p, a.lo, a.hi)
		f.summed = false
		f.header.flags |= s.flags
		if segment == g.config.Rank {
			s.store(p, a.lo, a.hi)
			f.header.flags |= flagFinal
			onward = s.gather
		}
	} else {
		s.store(p, a.lo, a.hi)
		onward = segment != g.link.right.rank
	}
	s.seen |= f.header.flags
	if f.header.flags&flagFinal != 0 || !s.gather {
		s.missing -= a.hi - a.lo
	}
	if !onward {
		g.link.release(f)
		return nil
	}
	return f
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

// float32s views integers as floats of the same bits.
func float32s(q []int32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(q))), len(q))
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
