package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"github.com/cespare/xxhash/v2"
	"gorgonia.org/tensor"
)

// The definition again, over the flat values and a row width.
func referenceSum(name string, x []float32, width int) (sum uint64) {
	for r := 0; r*width < len(x); r++ {
		b := binary.LittleEndian.AppendUint64(append([]byte(name), 0), uint64(r))
		for _, v := range x[r*width : min((r+1)*width, len(x))] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		sum += xxhash.Sum64(b)
	}
	return sum
}

func TestRowSumEqualsTheDefinition(t *testing.T) {
	for _, c := range []struct {
		shape []int
		width int
	}{{[]int{5, 7}, 7}, {[]int{3, 2, 4}, 8}, {[]int{1}, 128}, {[]int{128}, 128}, {[]int{300}, 128}, {[]int{2, 1}, 1}} {
		x := floats(c.shape...)
		if got, want := RowSum("w", x), referenceSum("w", x.Float32s(), c.width); got != want {
			t.Errorf("RowSum of shape %v is %x, want %x", c.shape, got, want)
		}
		if RowSum("w", x) == RowSum("v", x) {
			t.Errorf("shape %v: the name does not matter", c.shape)
		}
	}
	scalar := tensor.New(tensor.FromScalar(float32(1.5)))
	if got, want := RowSum("s", scalar), referenceSum("s", []float32{1.5}, 128); got != want {
		t.Errorf("RowSum of a scalar is %x, want %x", got, want)
	}
}

func TestDigestEqualsTheDefinition(t *testing.T) {
	w, b := floats(5, 7), floats(300)
	text := "sslctl-digest/1\nstep 100\nskipped 2\n" +
		fmt.Sprintf("a.bias F32 [300] %016x\n", referenceSum("a.bias", b.Float32s(), 128)) +
		fmt.Sprintf("bank@003 F32 [5,7] %016x\n", referenceSum("bank", w.Float32s(), 7)) +
		fmt.Sprintf("bank@011 F32 [5,7] %016x\n", referenceSum("bank", w.Float32s(), 7)) +
		fmt.Sprintf("w F32 [5,7] %016x\n", referenceSum("w", w.Float32s(), 7))
	want := sha256.Sum256([]byte(text))
	sums := []TensorSum{SumOf("w", Replicated, w), SumOf("bank", 11, w), SumOf("a.bias", Replicated, b), SumOf("bank", 3, w)}
	if got := Digest(100, 2, sums); got != hex.EncodeToString(want[:]) {
		t.Errorf("Digest = %s, want %x", got, want)
	}
	if sums[0].Name != "w" {
		t.Error("Digest has reordered its argument")
	}
}

// An owner that replaces row hashes ends with the sum of the new values.
func TestRowHasherKeepsASumUpToDate(t *testing.T) {
	keys, positions := floats(6, 4), uints(300)
	x, p := keys.Float32s(), positions.Uint64s()
	hk, hp := NewRowHasher("keys"), NewRowHasher("positions")
	sumKeys, sumPositions := RowSum("keys", keys), RowSum("positions", positions)
	for _, r := range []int{2, 5, 2} {
		sumKeys -= hk.Float32(uint64(r), x[r*4:r*4+4])
		for j := range 4 {
			x[r*4+j] += 0.5
		}
		sumKeys += hk.Float32(uint64(r), x[r*4:r*4+4])
	}
	sumPositions -= hp.Uint64(2, p[256:])
	p[299] = 7
	sumPositions += hp.Uint64(2, p[256:])
	if sumKeys != RowSum("keys", keys) || sumPositions != RowSum("positions", positions) {
		t.Error("incremental sums differ from those computed afresh")
	}
}

func TestDigestMovesWithEverything(t *testing.T) {
	w := floats(4, 4)
	base := Digest(1, 0, []TensorSum{SumOf("w", 0, w)})
	seen := map[string]string{base: "the state"}
	add := func(what, digest string) {
		if other, ok := seen[digest]; ok {
			t.Errorf("%s has the digest of %s", what, other)
		}
		seen[digest] = what
	}
	add("another step", Digest(2, 0, []TensorSum{SumOf("w", 0, w)}))
	add("another skip count", Digest(1, 1, []TensorSum{SumOf("w", 0, w)}))
	add("another rank", Digest(1, 0, []TensorSum{SumOf("w", 1, w)}))
	add("no rank", Digest(1, 0, []TensorSum{SumOf("w", Replicated, w)}))
	add("another name", Digest(1, 0, []TensorSum{SumOf("x", 0, w)}))
	add("another shape", Digest(1, 0, []TensorSum{SumOf("w", 0, floats(2, 8))}))
	x := w.Float32s()
	x[5] = math.Float32frombits(math.Float32bits(x[5]) ^ 1)
	add("one flipped bit", Digest(1, 0, []TensorSum{SumOf("w", 0, w)}))
	copy(x[0:4], []float32{9, 9, 9, 9})
	swapped := Digest(1, 0, []TensorSum{SumOf("w", 0, w)})
	add("a row", swapped)
	for j := range 4 {
		x[j], x[4+j] = x[4+j], x[j]
	}
	add("two rows swapped", Digest(1, 0, []TensorSum{SumOf("w", 0, w)}))
}

func BenchmarkRowSum(b *testing.B) {
	x := floats(1<<20 + 77)
	b.SetBytes(int64(4 * x.DataSize()))
	for b.Loop() {
		RowSum("arena", x)
	}
}
