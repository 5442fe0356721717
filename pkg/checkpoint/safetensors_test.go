package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

// file puts a header and values together as the format says.
func file(header string, values ...byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), values...)
}

func TestWriteMatchesTheFormat(t *testing.T) {
	tensors := []Tensor{
		{"b", tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, -2}))},
		{"a", tensor.New(tensor.WithShape(1), tensor.WithBacking([]uint64{258}))},
	}
	var b bytes.Buffer
	size, sum, err := Write(&b, tensors, map[string]string{"y": "2", "x": "\"1\""})
	if err != nil {
		t.Fatal(err)
	}
	want := file(`{"__metadata__":{"x":"\"1\"","y":"2"},"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}`+"     ",
		2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 192)
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("wrote\n%q, want\n%q", b.Bytes(), want)
	}
	if size != int64(len(want)) || sum != fmt.Sprintf("%x", sha256.Sum256(want)) {
		t.Errorf("size %d, hash %s do not describe the file", size, sum)
	}
	if len(want)%8 != 0 {
		t.Errorf("test file has %d bytes", len(want))
	}
}

func TestRoundTrip(t *testing.T) {
	nan := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{math.Float32frombits(0x7fc12345), float32(math.Inf(-1)), float32(math.Copysign(0, -1))}))
	tensors := []Tensor{{"nan", nan}, {"w", floats(7, 3, 5)}, {"scalar", tensor.New(tensor.FromScalar(float32(3)))}, {"u", uints(5)},
		{"i", tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{math.MinInt64, -1}))}}
	var b bytes.Buffer
	if _, _, err := Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Read(iotest.OneByteReader(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	var again []Tensor
	for _, info := range f.Tensors() {
		x, err := f.Tensor(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, Tensor{info.Name, x})
	}
	var c bytes.Buffer
	if _, _, err := Write(&c, again, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), c.Bytes()) {
		t.Error("reading and writing again gives other bytes")
	}
	// In place: the tensors' memory is overwritten, not replaced.
	backing := nan.Float32s()
	clear(backing)
	if err := f.Load(tensors); err != nil {
		t.Fatal(err)
	}
	if math.Float32bits(backing[0]) != 0x7fc12345 || math.Float32bits(backing[2]) != 1<<31 {
		t.Errorf("loaded %x", backing)
	}
}

// A store may ask for any piece, in any order.
func TestReadAtGivesAnyPiece(t *testing.T) {
	e, err := newEncoding([]Tensor{{"a", floats(5)}, {"b", uints(3)}, {"empty", tensor.New(tensor.WithShape(0, 4), tensor.WithBacking([]float32{}))}, {"c", floats(2, 2)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(e.reader())
	if err != nil || int64(len(all)) != e.size {
		t.Fatalf("read %d of %d bytes: %v", len(all), e.size, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(all)).Draw(t, "off")
		p := make([]byte, rapid.IntRange(0, len(all)+9-off).Draw(t, "len"))
		n, err := e.ReadAt(p, int64(off))
		want := all[off:min(off+len(p), len(all))]
		if !bytes.Equal(p[:n], want) || (err == io.EOF) != (len(want) < len(p)) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	w := floats(4, 6)
	column, err := w.Slice(nil, tensor.S(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	transposed := floats(4, 6)
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	for want, tensors := range map[string][]Tensor{
		"two tensors are named":                  {{"w", w}, {"w", w}},
		"not contiguous and row-major":           {{"w", column.(*tensor.Dense)}},
		"with strides [1 6]":                     {{"w", transposed}},
		"expected float32, int64 or uint64":      {{"w", tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{1}))}},
		"has no value":                           {{"w", nil}},
		"without white space":                    {{"a b", w}},
		"and '@'":                                {{"a@001", w}},
		`other than "__metadata__"`:              {{"__metadata__", w}},
		"expected a non-empty name":              {{"", w}},
		`tensor name "\xff": expected a non-emp`: {{"\xff", w}},
	} {
		if _, _, err := Write(io.Discard, tensors, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Write: %v, want an error with %q", err, want)
		}
	}
	if _, _, err := Write(failing{}, []Tensor{{"w", w}}, nil); !errors.Is(err, errFull) {
		t.Errorf("Write to a full disk: %v", err)
	}
}

var errFull = errors.New("no space left")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// brokenFiles are files with one fault each, by what the error must say.
var brokenFiles = map[string][]byte{
	"expected at least the 8":                    []byte("1234567"),
	"a header of 3 bytes is announced, 2":        append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...),
	"a header of 18446744073709551615":           append(binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "{}"...),
	"expected it to start with '{'":              file(` {}`),
	"not UTF-8":                                  file("{\"\xff\":{}}"),
	`tensor "a": EOF: the header ends too early`: file(`{"a":{"dtype":"F32"`),
	"bytes follow the closing brace":             file(`{} {}`),
	`"a" appears twice`:                          file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...),
	`"dtype" appears twice`:                      file(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, make([]byte, 4)...),
	`"__metadata__" appears twice`:               file(`{"__metadata__":{},"__metadata__":{}}`),
	`metadata "k" appears twice`:                 file(`{"__metadata__":{"k":"","k":""}}`),
	`metadata "k" is 1: expected a string`:       file(`{"__metadata__":{"k":1}}`),
	"type BF16 is not supported":                 file(`{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}`, 0, 0),
	"type 5 is not supported":                    file(`{"a":{"dtype":5,"shape":[1],"data_offsets":[0,4]}}`, make([]byte, 4)...),
	`unknown field "strides"`:                    file(`{"a":{"strides":[1]}}`),
	"has only the fields dtype, shape":           file(`{"a":{"dtype":"F32","shape":[1]}}`),
	"found <nil>: expected an object":            file(`{"a":null}`),
	"found -1: expected at most 64 integers":     file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`),
	"found 1.5: expected at most 64 integers":    file(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`),
	"found x: expected an array of integers":     file(`{"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}`),
	"is too large":                               file(`{"a":{"dtype":"F32","shape":[2305843009213693952,4],"data_offsets":[0,0]}}`),
	"takes 8 bytes, data_offsets [0 4] give it":  file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, make([]byte, 4)...),
	"data_offsets [4 0]: expected":               file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, make([]byte, 4)...),
	"data_offsets [0]: expected":                 file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, make([]byte, 4)...),
	`tensor "b" overlaps "a": it begins at 4`:    file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...),
	`4 bytes before tensor "a" belong to no`:     file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...),
	"the file is truncated":                      file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 0, 0, 0),
	"1 bytes after the last tensor":              file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, make([]byte, 5)...),
	`tensor name "a\tb"`:                         file(`{"a\tb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, make([]byte, 4)...),
}

func TestParseRefuses(t *testing.T) {
	for want, data := range brokenFiles {
		if _, err := Parse(data); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", data, err, want)
		}
	}
}

func TestLoadIsAllOrNothing(t *testing.T) {
	var b bytes.Buffer
	if _, _, err := Write(&b, []Tensor{{"a", floats(2)}, {"b", floats(3)}}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	zero := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	}
	for want, dst := range map[string][]Tensor{
		`holds no tensor "c"`:                       {{"a", zero(2)}, {"c", zero(2)}},
		`the file's tensor "b" has no place`:        {{"a", zero(2)}},
		`"b" is F32[3] in the file and F32[3,1] in`: {{"a", zero(2)}, {"b", zero(3, 1)}},
		`"b" is F32[3] in the file and U64[3] in`:   {{"a", zero(2)}, {"b", uints(3)}},
		`two tensors are named "a"`:                 {{"a", zero(2)}, {"a", zero(2)}, {"b", zero(3)}},
		`tensor "b" has no value`:                   {{"a", zero(2)}, {"b", nil}},
	} {
		err := f.Load(dst)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: %v, want an error with %q", err, want)
		}
		if a := dst[0].Value.Float32s(); a[0] != 0 {
			t.Errorf("%q: values were changed: %v", want, a)
		}
	}
	if _, err := f.Tensor("c"); !errors.Is(err, ErrMismatch) {
		t.Errorf("Tensor: %v, want ErrMismatch", err)
	}
}

// Whatever parses describes every byte, and writing it again and reading that gives the same tensors.
func FuzzParse(f *testing.F) {
	for _, data := range brokenFiles {
		f.Add(data)
	}
	var b bytes.Buffer
	if _, _, err := Write(&b, []Tensor{{"a", floats(2, 3)}, {"b", uints(3)}}, map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error without sentinel: %v", err)
			}
			return
		}
		total := 0
		var tensors []Tensor
		for _, info := range file.Tensors() {
			total += info.end - info.begin
			x, err := file.Tensor(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, Tensor{info.Name, x})
		}
		if total != len(file.values) {
			t.Errorf("tensors cover %d of %d bytes", total, len(file.values))
		}
		var b bytes.Buffer
		if _, _, err := Write(&b, tensors, file.Metadata); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b.Bytes())
		if err != nil {
			t.Fatalf("own file does not parse: %v", err)
		}
		if err := again.Load(tensors); err != nil {
			t.Error(err)
		}
	})
}
