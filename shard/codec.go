package shard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// indexMagic starts every index and carries the version of its format. After it: object, bytes, version; the kinds; the samples, each
// with the gap to the one before it; all numbers as varints, strings with their length; at the end the CRC-32C of everything before.
const indexMagic = "sslctl-index/1\n"

func (x *Index) encode() []byte {
	b := []byte(indexMagic)
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	num := func(n uint64) { b = binary.AppendUvarint(b, n) }
	str(x.Object)
	num(uint64(x.Bytes))
	str(x.Version)
	num(x.Skipped)
	num(uint64(len(x.Kinds)))
	for _, kind := range x.Kinds {
		num(uint64(len(kind)))
		for _, member := range kind {
			str(member)
		}
	}
	num(uint64(len(x.Samples)))
	end := int64(0)
	for _, e := range x.Samples {
		str(e.Key)
		num(uint64(e.Offset - end))
		num(uint64(e.Size))
		num(uint64(e.Kind))
		b = binary.LittleEndian.AppendUint32(b, e.CRC)
		end = e.Offset + e.Size
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeIndex reads what encode wrote, and returns ErrFormat for anything else.
func decodeIndex(data []byte) (*Index, error) {
	if len(data) < len(indexMagic)+4 || string(data[:len(indexMagic)]) != indexMagic {
		return nil, fmt.Errorf("%w: not an index of this version", ErrFormat)
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: the index is damaged", ErrFormat)
	}
	d := decoder{rest: string(body[len(indexMagic):])} // of which all keys are parts: one allocation for all of them
	x := &Index{Object: d.str(), Bytes: d.size(), Version: d.str(), Skipped: d.num()}
	x.Kinds = make([][]string, d.length())
	for i := range x.Kinds {
		x.Kinds[i] = make([]string, d.length())
		for j := range x.Kinds[i] {
			x.Kinds[i][j] = d.str()
		}
	}
	x.Samples = make([]Entry, d.length())
	end := int64(0)
	for i := range x.Samples {
		e := Entry{Key: d.str(), Offset: end + d.size(), Size: d.size(), Kind: uint32(min(d.num(), 1<<32-1)), CRC: d.crc()}
		end = e.Offset + e.Size
		if e.Size == 0 || e.Offset < 0 || end < 0 || end > x.Bytes || int(e.Kind) >= len(x.Kinds) {
			d.bad = true
		}
		if d.bad {
			break
		}
		x.Samples[i] = e
	}
	if d.bad || len(d.rest) != 0 {
		return nil, fmt.Errorf("%w: the index contradicts itself", ErrFormat)
	}
	return x, nil
}

// decoder takes values off the front of rest. After the first one that isn't there it yields zeros and is bad.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) num() uint64 {
	n, k := uvarint(d.rest)
	if k <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.rest = d.rest[k:]
	return n
}

// uvarint is binary.Uvarint of a string.
func uvarint(s string) (n uint64, size int) {
	var head [binary.MaxVarintLen64]byte
	return binary.Uvarint(head[:copy(head[:], s)])
}

// size is a number of bytes.
func (d *decoder) size() int64 {
	n := d.num()
	if n > 1<<62 {
		d.bad = true
		return 0
	}
	return int64(n)
}

// length is a number of things that take at least a byte each.
func (d *decoder) length() int {
	n := d.num()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) str() string {
	n := d.length()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) crc() uint32 {
	if len(d.rest) < 4 {
		d.bad = true
		return 0
	}
	c := uint32(d.rest[0]) | uint32(d.rest[1])<<8 | uint32(d.rest[2])<<16 | uint32(d.rest[3])<<24
	d.rest = d.rest[4:]
	return c
}
