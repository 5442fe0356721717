package allreduce

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

// headerBytes is a multiple of 8, so that payloads are aligned for the arithmetic that is done on them in place.
const headerBytes = 88

// magic ends in the version of the frame format.
const magic = 0x33_52_4c_53 // "SLR3"

type kind uint8

const (
	kindData      kind = iota + 1 // to the right
	kindAck                       // to the left: seq is the last frame received in order, offset the last one taken by a collective
	kindKeepalive                 // to the right
	kindHello                     // to both; the payload is Config.greeting
	kindLost                      // to both: segment is a rank that was lost, offset the rank that noticed
	kindBye                       // to both: the sender needs nothing more
)

const (
	flagFinal     uint16 = 1 << iota // the payload is a result, not a partial sum
	flagNotFinite                    // some rank found NaN or Inf in its input
	flagBound                        // some rank found a value outside the bound in its input
	flagResend                       // kindAck: send again from seq+1 on
	flagHeard                        // kindHello, kindBye: the sender has heard the receiver's
	flagLeft                         // kindLost: the rank said goodbye
	flagEnded                        // kindLost: the rank's process has ended
)

// header precedes every payload. On the wire: magic, kind, op, flags, job, generation, step, seq, offset, total, collective, stream,
// from, segment, length of the payload, CRC-64/NVME of the payload, four zeros, CRC-32C of all before it; little-endian.
type header struct {
	kind                  kind
	op                    op
	flags                 uint16
	job, generation, step uint64
	seq                   uint64 // place in the sender's stream of data frames, from 1
	offset, total         uint64 // of the payload in its stream, in units; units in the stream
	collective, stream    uint32
	from, segment         uint16
	sum                   uint64 // CRC-64/NVME of the payload
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errMalformed = errors.New("malformed frame")
	errCorrupt   = errors.New("corrupt frame")
)

// seal writes the header and its checksum into the first headerBytes of buf; the payload must be in place and h.sum its checksum.
func (h *header) seal(buf []byte) {
	binary.LittleEndian.PutUint32(buf[0:], magic)
	buf[4], buf[5] = byte(h.kind), byte(h.op)
	binary.LittleEndian.PutUint16(buf[6:], h.flags)
	binary.LittleEndian.PutUint64(buf[8:], h.job)
	binary.LittleEndian.PutUint64(buf[16:], h.generation)
	binary.LittleEndian.PutUint64(buf[24:], h.step)
	binary.LittleEndian.PutUint64(buf[32:], h.seq)
	binary.LittleEndian.PutUint64(buf[40:], h.offset)
	binary.LittleEndian.PutUint64(buf[48:], h.total)
	binary.LittleEndian.PutUint32(buf[56:], h.collective)
	binary.LittleEndian.PutUint32(buf[60:], h.stream)
	binary.LittleEndian.PutUint16(buf[64:], h.from)
	binary.LittleEndian.PutUint16(buf[66:], h.segment)
	binary.LittleEndian.PutUint32(buf[68:], uint32(len(buf)-headerBytes))
	binary.LittleEndian.PutUint64(buf[72:], h.sum)
	binary.LittleEndian.PutUint32(buf[80:], 0)
	binary.LittleEndian.PutUint32(buf[headerBytes-4:], headerSum(buf))
}

// parse reads and checks a received frame.
func parse(buf []byte) (header, error) {
	if len(buf) < headerBytes || binary.LittleEndian.Uint32(buf) != magic {
		return header{}, errMalformed
	}
	if !isFrame(buf) || payloadBytes(buf) != len(buf)-headerBytes || binary.LittleEndian.Uint64(buf[72:]) != checksum(buf[headerBytes:]) {
		return header{}, errCorrupt
	}
	return header{
		kind:       kind(buf[4]),
		op:         op(buf[5]),
		flags:      binary.LittleEndian.Uint16(buf[6:]),
		job:        binary.LittleEndian.Uint64(buf[8:]),
		generation: binary.LittleEndian.Uint64(buf[16:]),
		step:       binary.LittleEndian.Uint64(buf[24:]),
		seq:        binary.LittleEndian.Uint64(buf[32:]),
		offset:     binary.LittleEndian.Uint64(buf[40:]),
		total:      binary.LittleEndian.Uint64(buf[48:]),
		collective: binary.LittleEndian.Uint32(buf[56:]),
		stream:     binary.LittleEndian.Uint32(buf[60:]),
		from:       binary.LittleEndian.Uint16(buf[64:]),
		segment:    binary.LittleEndian.Uint16(buf[66:]),
		sum:        binary.LittleEndian.Uint64(buf[72:]),
	}, nil
}

// checksum is that of a payload: see docs/decisions/0241-crc64-over-payloads.md.
func checksum(p []byte) uint64 { return crc64nvme.Checksum(p) }

// headerSum is the checksum of a header.
func headerSum(buf []byte) uint32 { return crc32.Checksum(buf[:headerBytes-4], castagnoli) }

// payloadBytes is the length of the payload that a header tells.
func payloadBytes(buf []byte) int { return int(binary.LittleEndian.Uint32(buf[68:])) }

// frame is a data frame with its buffer: header room and payload.
type frame struct {
	header header
	buffer buffer
	summed bool // header.sum is the payload's
	writes int  // how often it was handed to the transport; sealed from the first on
}

func (f *frame) payload() []byte { return f.buffer.frame()[headerBytes:] }

// isFrame says whether buf begins with a whole header.
func isFrame(buf []byte) bool {
	return binary.LittleEndian.Uint32(buf) == magic && binary.LittleEndian.Uint32(buf[headerBytes-4:]) == headerSum(buf)
}
