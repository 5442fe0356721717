package allreduce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// MaxVirtualRanks bounds V: the int32 of the fixed point must leave a float32 its 24 significant bits.
const MaxVirtualRanks = 64

const (
	defaultBucketElements = 1 << 20
	defaultFrameBytes     = 64<<10 - 4*Block
	defaultWindowBytes    = 4 << 20
	defaultDetectWithin   = 2 * time.Second
)

// Config places a Group in its ring. Job, Generation, World, VirtualRanks and Starts must be the same on every rank; Join checks it.
type Config struct {
	Rank, World  int
	VirtualRanks int
	// Starts (len World+1) cuts the virtual ranks: rank r owns [Starts[r], Starts[r+1]). Cut(VirtualRanks, World) if nil.
	Starts []int
	// JobUID and Generation name the membership that this ring belongs to; frames of any other are rejected and counted.
	JobUID     string
	Generation uint64
	// Wire is what a gradient's value is on its way; WireInt32 if empty.
	Wire Wire
	// Seed keys the random rounding of WireInt16.
	Seed uint64
	// BucketElements is the most elements whose exponents are agreed at once, rounded up to whole blocks of 128; 1 Mi if 0. Results
	// do not depend on it: a larger one costs fewer frames, a smaller one lets the data start earlier.
	BucketElements int
	// FrameBytes bounds the payload of one frame; a block less than 64 KiB if 0, so that with what is said around it a NATS server reads
	// it at once.
	FrameBytes int
	// WindowBytes bounds what is on its way to a neighbour or waits there, in whole frames: small ones count as much; 4 MiB if 0, at
	// least 4 frames.
	WindowBytes int
	// DetectWithin is how long a neighbour may be silent before it counts as lost; 2 s if 0. A neighbour sends eight keepalives in that
	// time whatever it computes. While this rank itself is cut off from the transport, 3·DetectWithin apply, so that a lost NATS server
	// may be replaced by another; neighbours that are not cut off still give this rank DetectWithin only.
	DetectWithin time.Duration
}

// Wire names a format of gradients on their way.
type Wire string

const (
	// WireInt32 rounds each value once, to 25 to 31 bits below the largest of its block.
	WireInt32 Wire = "int32"
	// WireInt16 takes half the bytes and rounds to 9 to 15 bits, at random.
	WireInt16 Wire = "int16"
)

// Cut divides v virtual ranks into w contiguous runs whose lengths differ by at most one, longer ones first: Cut(8, 3) is 0, 3, 6, 8.
func Cut(v, w int) []int {
	starts := make([]int, w+1)
	for r := range w {
		n := v / w
		if r < v%w {
			n++
		}
		starts[r+1] = starts[r] + n
	}
	return starts
}

// filled returns c with defaults in place of zeros, or an error that names the field.
func (c Config) filled() (Config, error) {
	if c.VirtualRanks < 1 || c.VirtualRanks > MaxVirtualRanks {
		return c, fmt.Errorf("config: VirtualRanks is %d; expected 1 to %d", c.VirtualRanks, MaxVirtualRanks)
	}
	if c.World < 1 || c.World > c.VirtualRanks {
		return c, fmt.Errorf("config: World is %d; expected 1 to VirtualRanks (%d): surplus workers are spares, not ranks", c.World, c.VirtualRanks)
	}
	if c.Rank < 0 || c.Rank >= c.World {
		return c, fmt.Errorf("config: Rank is %d; expected 0 to %d", c.Rank, c.World-1)
	}
	if c.Starts == nil {
		c.Starts = Cut(c.VirtualRanks, c.World)
	}
	if len(c.Starts) != c.World+1 || c.Starts[0] != 0 || c.Starts[c.World] != c.VirtualRanks {
		return c, fmt.Errorf("config: Starts is %v; expected %d numbers from 0 to %d", c.Starts, c.World+1, c.VirtualRanks)
	}
	for r := range c.World {
		if c.Starts[r] >= c.Starts[r+1] {
			return c, fmt.Errorf("config: Starts is %v; rank %d owns no virtual rank", c.Starts, r)
		}
	}
	if c.BucketElements < 0 || c.FrameBytes < 0 || c.WindowBytes < 0 || c.DetectWithin < 0 {
		return c, errors.New("config: BucketElements, FrameBytes, WindowBytes and DetectWithin must not be negative")
	}
	c.Wire = or(c.Wire, WireInt32)
	if c.Wire != WireInt32 && c.Wire != WireInt16 {
		return c, fmt.Errorf("config: Wire is %q; expected %s or %s", c.Wire, WireInt32, WireInt16)
	}
	c.BucketElements = ceilBlocks(or(c.BucketElements, defaultBucketElements)) * Block
	c.FrameBytes = or(c.FrameBytes, defaultFrameBytes)
	if c.FrameBytes < 4*Block {
		return c, fmt.Errorf("config: FrameBytes is %d; expected at least %d, one block", c.FrameBytes, 4*Block)
	}
	c.WindowBytes = or(c.WindowBytes, max(defaultWindowBytes, 4*(c.FrameBytes+headerBytes)))
	if c.WindowBytes < 4*(c.FrameBytes+headerBytes) {
		return c, fmt.Errorf("config: WindowBytes is %d; expected at least four frames with their headers (%d)", c.WindowBytes, 4*(c.FrameBytes+headerBytes))
	}
	c.DetectWithin = or(c.DetectWithin, defaultDetectWithin)
	if c.DetectWithin < 10*time.Millisecond {
		return c, fmt.Errorf("config: DetectWithin is %s; expected at least 10ms", c.DetectWithin)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return c, errors.New("frames hold little-endian numbers and are summed in place; this machine is big-endian")
	}
	return c, nil
}

// greeting is what neighbours compare when they join.
func (c Config) greeting() string {
	return fmt.Sprintf("%d virtual ranks cut at %v, blocks of %d, buckets of %d, %s, seed %d", c.VirtualRanks, c.Starts, Block, c.BucketElements, c.Wire, c.Seed)
}

// job is the job's mark in every frame. The transport's subjects keep jobs apart; the mark catches a subject used twice.
func (c Config) job() uint64 {
	h := fnv.New64a()
	h.Write([]byte(c.JobUID))
	return h.Sum64()
}

func or[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}
