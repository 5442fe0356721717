package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"gorgonia.org/tensor"
)

// digestVersion is the first line of the text that is hashed. Any change to the text or to row sums needs another.
const digestVersion = "sslctl-digest/1"

// sumChunk is the number of elements that count as a row in tensors of fewer than two axes.
const sumChunk = 128

// TensorSum is what the digest takes of one tensor.
type TensorSum struct {
	Name        string // without virtual rank
	VirtualRank int    // Replicated for tensors that all ranks share
	DType       DType
	Shape       []int
	Sum         uint64 // RowSum of the tensor under Name
}

// SumOf is the TensorSum of a tensor of a virtual rank (or Replicated). It panics where RowSum does.
func SumOf(name string, virtualRank int, t *tensor.Dense) TensorSum {
	e, err := flat(name, t)
	if err != nil {
		panic(err)
	}
	return TensorSum{name, virtualRank, e.dtype, append([]int{}, t.Shape()...), rowSum(name, e, t.Shape())}
}

// Digest is the SHA-256, in hex, of this text: the line "sslctl-digest/1"; "step N"; "skipped N"; then, sorted by full name, a line for each
// tensor with its full name, type, shape and row sum in 16 hex digits, separated by single spaces. The full name of a tensor of virtual rank v is
// name@v with three digits. A shape is written as [64,32,3,3].
func Digest(step, skipped uint64, sums []TensorSum) string {
	sums = slices.Clone(sums)
	slices.SortFunc(sums, func(a, b TensorSum) int { return strings.Compare(a.fullName(), b.fullName()) })
	h := sha256.New()
	fmt.Fprintf(h, "%s\nstep %d\nskipped %d\n", digestVersion, step, skipped)
	for _, s := range sums {
		fmt.Fprintf(h, "%s %s %s %016x\n", s.fullName(), s.DType, shapeText(s.Shape), s.Sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s TensorSum) fullName() string {
	if s.VirtualRank == Replicated {
		return s.Name
	}
	return fmt.Sprintf("%s@%03d", s.Name, s.VirtualRank)
}

// RowSum is the wrapping sum, over the rows r along the first axis, of xxhash64(name ‖ 0x00 ‖ r ‖ row), with r in 8 bytes and the row's elements
// in theirs, little-endian. In a tensor of at most one axis, each run of 128 elements is a row and the last may be short. The owner of
// a large tensor keeps the sum up to date by taking away RowHash of the rows that it overwrites and adding RowHash of the new ones.
// RowSum panics unless t is contiguous, row-major, and of float32, int64 or uint64.
func RowSum(name string, t *tensor.Dense) uint64 {
	e, err := flat(name, t)
	if err != nil {
		panic(err)
	}
	return rowSum(name, e, t.Shape())
}

func rowSum(name string, e elements, shape []int) uint64 {
	h := NewRowHasher(name)
	var sum uint64
	width := rowWidth(shape)
	row := make([]byte, width*e.dtype.size())
	for r, lo := uint64(0), 0; lo < e.len(); r, lo = r+1, lo+width {
		hi := min(lo+width, e.len())
		bytes := row[:(hi-lo)*e.dtype.size()]
		e.put(bytes, lo, hi)
		sum += h.hash(r, bytes)
	}
	return sum
}

// rowSumBytes is rowSum for values as a file holds them.
func rowSumBytes(name string, values []byte, dtype DType, shape []int) uint64 {
	h := NewRowHasher(name)
	var sum uint64
	width := rowWidth(shape) * dtype.size()
	for r, lo := uint64(0), 0; lo < len(values); r, lo = r+1, lo+width {
		sum += h.hash(r, values[lo:min(lo+width, len(values))])
	}
	return sum
}

// rowWidth is the number of elements of a row.
func rowWidth(shape []int) int {
	if len(shape) < 2 {
		return sumChunk
	}
	n := 1
	for _, s := range shape[1:] {
		n *= s
	}
	return n
}

// RowHasher hashes single rows of one tensor, for owners that keep a RowSum up to date. It is not safe for concurrent use.
type RowHasher struct {
	prefix xxhash.Digest // after the name and its terminator
	row    []byte
}

// NewRowHasher makes a hasher for the tensor of a name.
func NewRowHasher(name string) *RowHasher {
	h := &RowHasher{}
	h.prefix.Reset()
	h.prefix.WriteString(name)
	h.prefix.Write([]byte{0})
	return h
}

// Float32 hashes row r of a float32 tensor of two or more axes.
func (h *RowHasher) Float32(r uint64, row []float32) uint64 {
	return h.elements(r, elements{dtype: F32, f32: row})
}

// Uint64 hashes row r of a uint64 tensor; in a tensor of one axis that is run r of 128 elements.
func (h *RowHasher) Uint64(r uint64, row []uint64) uint64 {
	return h.elements(r, elements{dtype: U64, u64: row})
}

func (h *RowHasher) elements(r uint64, e elements) uint64 {
	n := e.len() * e.dtype.size()
	if cap(h.row) < n {
		h.row = make([]byte, n)
	}
	e.put(h.row[:n], 0, e.len())
	return h.hash(r, h.row[:n])
}

func (h *RowHasher) hash(r uint64, row []byte) uint64 {
	d := h.prefix // a copy: the name is hashed once
	var index [8]byte
	binary.LittleEndian.PutUint64(index[:], r)
	d.Write(index[:])
	d.Write(row)
	return d.Sum64()
}

// DigestOf recomputes the digest of the checkpoint in folder dir from its files alone: the values from the tensor files, step and
// skipped steps from the manifest. Each file's hash is verified first. It does not look at the digest that the manifest claims.
func DigestOf(ctx context.Context, store Store, dir string) (string, error) {
	m, err := ReadManifest(ctx, store, dir)
	if err != nil {
		return "", err
	}
	var sums []TensorSum
	for _, entry := range m.Files {
		f, err := ReadFile(ctx, store, dir, entry)
		if err != nil {
			return "", err
		}
		for _, t := range f.infos {
			sums = append(sums, TensorSum{t.Name, entry.VirtualRank, t.DType, t.Shape, rowSumBytes(t.Name, f.values[t.begin:t.end], t.DType, t.Shape)})
		}
	}
	return Digest(m.Step, m.Skipped, sums), nil
}
