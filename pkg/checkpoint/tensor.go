// Package checkpoint keeps a job's state in files: tensors in the safetensors format, one file for what all ranks share and one for
// each virtual rank, and a manifest that is written last. A checkpoint without a well-formed manifest does not exist; the hashes in the
// manifest are verified before any value is handed out. So a checkpoint is either whole or invisible.
//
//	step-0000000100/
//	    replicated.safetensors         parameters, optimizer slots, everything that is the same on all ranks
//	    virtual-rank-000.safetensors   bank shard and whatever else virtual rank 0 owns
//	    …
//	    manifest.json                  step, counters, digest, and size and SHA-256 of each file
//
// Keys are relative to the folder that the Store stands for. Give every job (by UID) a folder of its own: two jobs that share one would
// overwrite each other's steps.
package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"

	"gorgonia.org/tensor"
)

// ErrFormat is returned when bytes are not a valid safetensors file or manifest of a kind that this package reads.
var ErrFormat = errors.New("malformed")

// ErrDamaged is returned when a file of a checkpoint is not, byte for byte, the one that its manifest names.
var ErrDamaged = errors.New("damaged checkpoint file")

// ErrMismatch is returned when a file holds other tensors, shapes or types than those that are to be loaded.
var ErrMismatch = errors.New("checkpoint does not fit the model")

// DType is an element type, spelled as safetensors does.
type DType string

// The element types that a task's state may have.
const (
	F32 DType = "F32"
	I64 DType = "I64"
	U64 DType = "U64"
)

// size is the number of bytes of an element; 0 for types that are not supported.
func (d DType) size() int {
	switch d {
	case F32:
		return 4
	case I64, U64:
		return 8
	}
	return 0
}

// Tensor is a named tensor. A name has no white space and no '@', which the digest uses to mark virtual ranks.
type Tensor struct {
	Name  string
	Value *tensor.Dense
}

func checkName(name string) error {
	if name == "" || name == metadataKey || strings.ContainsFunc(name, func(r rune) bool {
		return r == '@' || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r)
	}) {
		return fmt.Errorf("tensor name %q: expected a non-empty name without white space and '@', other than %q", name, metadataKey)
	}
	return nil
}

// elements are a tensor's values in row-major order, sharing its memory. One slice is set, the one of dtype.
type elements struct {
	dtype DType
	f32   []float32
	i64   []int64
	u64   []uint64
}

// flat gives access to the values of t, which must be contiguous, row-major and of a supported type.
func flat(name string, t *tensor.Dense) (elements, error) {
	var e elements
	if t == nil {
		return e, fmt.Errorf("tensor %q has no value", name)
	}
	switch t.Dtype() {
	case tensor.Float32:
		e = elements{dtype: F32, f32: t.Float32s()}
	case tensor.Int64:
		e = elements{dtype: I64, i64: t.Int64s()}
	case tensor.Uint64:
		e = elements{dtype: U64, u64: t.Uint64s()}
	default:
		return e, fmt.Errorf("tensor %q has elements of type %v: expected float32, int64 or uint64", name, t.Dtype())
	}
	n := 1
	shape, strides := t.Shape(), t.Strides()
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] > 1 && i < len(strides) && strides[i] != n {
			return e, fmt.Errorf("tensor %q of shape %v with strides %v is not contiguous and row-major: materialise it first", name, shape, strides)
		}
		n *= shape[i]
	}
	if e.len() != n {
		return e, fmt.Errorf("tensor %q of shape %v holds %d elements: expected %d", name, shape, e.len(), n)
	}
	return e, nil
}

func (e elements) len() int { return len(e.f32) + len(e.i64) + len(e.u64) }

// put writes elements [lo, hi) to dst, little-endian.
func (e elements) put(dst []byte, lo, hi int) {
	switch e.dtype {
	case F32:
		for i, x := range e.f32[lo:hi] {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case I64:
		for i, x := range e.i64[lo:hi] {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(x))
		}
	case U64:
		for i, x := range e.u64[lo:hi] {
			binary.LittleEndian.PutUint64(dst[8*i:], x)
		}
	}
}

// set overwrites all elements with little-endian values.
func (e elements) set(src []byte) {
	for i := range e.f32 {
		e.f32[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
	for i := range e.i64 {
		e.i64[i] = int64(binary.LittleEndian.Uint64(src[8*i:]))
	}
	for i := range e.u64 {
		e.u64[i] = binary.LittleEndian.Uint64(src[8*i:])
	}
}
