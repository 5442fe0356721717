package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gorgonia.org/tensor"
)

// maxHeader is the longest header that the reference implementation of safetensors accepts, in bytes.
const maxHeader = 100_000_000

// Info describes a tensor of a file.
type Info struct {
	Name       string
	DType      DType
	Shape      []int
	begin, end int // place among the values
}

// File is a parsed safetensors file in memory.
type File struct {
	Metadata map[string]string
	infos    []Info // by name
	values   []byte
}

// Parse reads a safetensors file from memory, which the File keeps. It is strict: every byte of the values belongs to exactly one tensor, names are
// unique, sizes agree with shapes, and only the types of this package are accepted. Everything else is an error that wraps ErrFormat.
func Parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%w safetensors file: %d bytes, expected at least the 8 of the header length", ErrFormat, len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("%w safetensors file: a header of %d bytes is announced, %d bytes follow and at most %d are allowed", ErrFormat, n, len(data)-8, maxHeader)
	}
	header, values := data[8:8+n], data[8+n:]
	f := &File{values: values}
	if err := f.parseHeader(header); err != nil {
		return nil, fmt.Errorf("%w safetensors header: %w", ErrFormat, err)
	}
	if err := f.checkLayout(); err != nil {
		return nil, fmt.Errorf("%w safetensors file: %w", ErrFormat, err)
	}
	return f, nil
}

// Read reads a safetensors file to its end and parses it.
func Read(r io.Reader) (*File, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read safetensors file: %w", err)
	}
	return Parse(data)
}

// parseHeader reads token by token: a plain Unmarshal would silently keep the last of two tensors of one name.
func (f *File) parseHeader(header []byte) error {
	if !utf8.Valid(header) {
		return fmt.Errorf("not UTF-8")
	}
	if len(header) == 0 || header[0] != '{' {
		return fmt.Errorf("expected it to start with '{'")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	seen := map[string]bool{}
	err := object(d, func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		if key == metadataKey {
			return f.parseMetadata(d)
		}
		if err := checkName(key); err != nil {
			return err
		}
		info, err := parseInfo(d, key)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		f.infos = append(f.infos, info)
		return nil
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the header ends too early", err)
	}
	if err != nil {
		return err
	}
	if rest := bytes.Trim(header[d.InputOffset():], " "); len(rest) > 0 {
		return fmt.Errorf("%d bytes follow the closing brace: expected spaces only", len(rest))
	}
	sort.Slice(f.infos, func(i, j int) bool { return f.infos[i].Name < f.infos[j].Name })
	return nil
}

func (f *File) parseMetadata(d *json.Decoder) error {
	f.Metadata = map[string]string{}
	return object(d, func(key string) error {
		if _, ok := f.Metadata[key]; ok {
			return fmt.Errorf("metadata %q appears twice", key)
		}
		t, err := d.Token()
		if err != nil {
			return err
		}
		s, ok := t.(string)
		if !ok {
			return fmt.Errorf("metadata %q is %v: expected a string", key, t)
		}
		f.Metadata[key] = s
		return nil
	})
}

func parseInfo(d *json.Decoder, name string) (Info, error) {
	info := Info{Name: name}
	var seen []string
	var offsets []int
	err := object(d, func(key string) (err error) {
		if slices.Contains(seen, key) {
			return fmt.Errorf("%q appears twice", key)
		}
		seen = append(seen, key)
		switch key {
		case "dtype":
			t, err := d.Token()
			if err != nil {
				return err
			}
			s, _ := t.(string)
			info.DType = DType(s)
			if info.DType.size() == 0 {
				return fmt.Errorf("type %v is not supported: expected F32, I64 or U64", t)
			}
		case "shape":
			info.Shape, err = integers(d)
		case "data_offsets":
			offsets, err = integers(d)
		default:
			return fmt.Errorf("unknown field %q: expected dtype, shape and data_offsets", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return info, err
	}
	if len(seen) != 3 {
		return info, fmt.Errorf("has only the fields %s: expected dtype, shape and data_offsets", strings.Join(seen, ", "))
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return info, fmt.Errorf("data_offsets %v: expected [begin, end]", offsets)
	}
	info.begin, info.end = offsets[0], offsets[1]
	size := info.DType.size()
	for _, n := range info.Shape {
		if n != 0 && size > (1<<62)/n {
			return info, fmt.Errorf("shape %v is too large", info.Shape)
		}
		size *= n
	}
	if size != info.end-info.begin {
		return info, fmt.Errorf("%s of shape %v takes %d bytes, data_offsets %v give it %d", info.DType, info.Shape, size, offsets, info.end-info.begin)
	}
	return info, nil
}

// object reads a JSON object and calls field for each key; field reads the value.
func object(d *json.Decoder, field func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("found %v: expected an object", t)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if err := field(t.(string)); err != nil { // the decoder returns nothing but strings as keys
			return err
		}
	}
	_, err = d.Token()
	return err
}

// integers reads a JSON array of integers of at least 0, at most 64 of them.
func integers(d *json.Decoder) ([]int, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, fmt.Errorf("found %v: expected an array of integers", t)
	}
	out := []int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := strconv.ParseInt(number.String(), 10, 63)
		if err != nil || n < 0 || len(out) == 64 {
			return nil, fmt.Errorf("found %v: expected at most 64 integers of at least 0", t)
		}
		out = append(out, int(n))
	}
	_, err = d.Token()
	return out, err
}

// checkLayout checks that the tensors cover the values without gap and overlap.
func (f *File) checkLayout() error {
	byPlace := slices.Clone(f.infos)
	sort.Slice(byPlace, func(i, j int) bool {
		a, b := byPlace[i], byPlace[j]
		return a.begin < b.begin || a.begin == b.begin && (a.end < b.end || a.end == b.end && a.Name < b.Name)
	})
	at, before := 0, "the header"
	for _, info := range byPlace {
		switch {
		case info.begin < at:
			return fmt.Errorf("tensor %q overlaps %q: it begins at %d, before %d", info.Name, before, info.begin, at)
		case info.begin > at:
			return fmt.Errorf("%d bytes before tensor %q belong to no tensor", info.begin-at, info.Name)
		case info.end > len(f.values):
			return fmt.Errorf("tensor %q ends at %d of %d bytes of values: the file is truncated", info.Name, info.end, len(f.values))
		}
		at, before = info.end, info.Name
	}
	if at != len(f.values) {
		return fmt.Errorf("%d bytes after the last tensor belong to no tensor", len(f.values)-at)
	}
	return nil
}

// Tensors lists the tensors of the file by name.
func (f *File) Tensors() []Info { return slices.Clone(f.infos) }

func (f *File) find(name string) (Info, bool) {
	i := sort.Search(len(f.infos), func(i int) bool { return f.infos[i].Name >= name })
	if i == len(f.infos) || f.infos[i].Name != name {
		return Info{}, false
	}
	return f.infos[i], true
}

// Tensor returns a copy of a tensor of the file.
func (f *File) Tensor(name string) (*tensor.Dense, error) {
	info, ok := f.find(name)
	if !ok {
		return nil, fmt.Errorf("%w: no tensor is named %q", ErrMismatch, name)
	}
	size := (info.end - info.begin) / info.DType.size()
	e := elements{dtype: info.DType}
	var backing any
	switch info.DType {
	case F32:
		e.f32 = make([]float32, size)
		backing = e.f32
	case I64:
		e.i64 = make([]int64, size)
		backing = e.i64
	case U64:
		e.u64 = make([]uint64, size)
		backing = e.u64
	}
	e.set(f.values[info.begin:info.end])
	return tensor.New(tensor.WithShape(info.Shape...), tensor.WithBacking(backing)), nil
}

// Load overwrites the values of all of dst in place. The file must hold exactly the tensors of dst, each with its type and shape; else
// nothing is changed and the error wraps ErrMismatch.
func (f *File) Load(dst []Tensor) error {
	into := make([]elements, len(dst))
	wanted := make(map[string]bool, len(dst))
	for i, t := range dst {
		info, ok := f.find(t.Name)
		if !ok {
			return fmt.Errorf("%w: the file holds no tensor %q", ErrMismatch, t.Name)
		}
		if wanted[t.Name] {
			return fmt.Errorf("load: two tensors are named %q: expected unique names", t.Name)
		}
		wanted[t.Name] = true
		e, err := flat(t.Name, t.Value)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if e.dtype != info.DType || !slices.Equal([]int(t.Value.Shape()), info.Shape) {
			return fmt.Errorf("%w: tensor %q is %s%s in the file and %s%s in the task", ErrMismatch, t.Name, info.DType, shapeText(info.Shape), e.dtype, shapeText(t.Value.Shape()))
		}
		into[i] = e
	}
	for _, info := range f.infos {
		if !wanted[info.Name] {
			return fmt.Errorf("%w: the file's tensor %q has no place in the task", ErrMismatch, info.Name)
		}
	}
	for i, t := range dst {
		info, _ := f.find(t.Name)
		into[i].set(f.values[info.begin:info.end])
	}
	return nil
}
