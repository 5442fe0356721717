package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
)

const metadataKey = "__metadata__"

// Write writes tensors in the safetensors format (https://github.com/huggingface/safetensors): 8 bytes of header length, a JSON header with
// type, shape and place of each tensor and with metadata, then the values, little-endian. Tensors are laid out by name, so that one
// state has one file. It returns the number of bytes written and their SHA-256 in hex. The tensors must not change meanwhile.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) (size int64, sum string, err error) {
	e, err := newEncoding(tensors, metadata)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(h, w), e.reader())
	if err != nil {
		return size, "", fmt.Errorf("write %d tensors: %w", len(tensors), err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

// encoding is the safetensors form of tensors, made piece by piece as it is read: no second copy of the state.
type encoding struct {
	head  []byte // header length and header
	parts []part // in the order of the file
	size  int64
}

type part struct {
	elements
	begin, end int64 // place in the file
}

func newEncoding(tensors []Tensor, metadata map[string]string) (*encoding, error) {
	tensors = slices.Clone(tensors)
	sort.Slice(tensors, func(i, j int) bool { return tensors[i].Name < tensors[j].Name })
	e := &encoding{}
	header := []byte{'{'}
	if len(metadata) > 0 {
		header = append(header, `"`+metadataKey+`":{`...)
		for i, k := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				header = append(header, ',')
			}
			header = append(append(append(header, quote(k)...), ':'), quote(metadata[k])...)
		}
		header = append(header, '}')
	}
	var at int64
	for i, t := range tensors {
		if err := checkName(t.Name); err != nil {
			return nil, err
		}
		if i > 0 && t.Name == tensors[i-1].Name {
			return nil, fmt.Errorf("two tensors are named %q: expected unique names", t.Name)
		}
		x, err := flat(t.Name, t.Value)
		if err != nil {
			return nil, err
		}
		p := part{x, at, at + int64(x.len()*x.dtype.size())}
		if len(header) > 1 {
			header = append(header, ',')
		}
		header = append(header, quote(t.Name)...)
		header = append(header, `:{"dtype":"`+string(x.dtype)+`","shape":`+shapeText(t.Value.Shape())...)
		header = fmt.Appendf(header, `,"data_offsets":[%d,%d]}`, p.begin, p.end)
		e.parts = append(e.parts, p)
		at = p.end
	}
	header = append(header, '}')
	for len(header)%8 != 0 { // the values then start at a multiple of 8, as in files of the reference implementation
		header = append(header, ' ')
	}
	if len(header) > maxHeader {
		return nil, fmt.Errorf("header of %d tensors takes %d bytes: readers accept at most %d", len(tensors), len(header), maxHeader)
	}
	e.head = append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range e.parts {
		e.parts[i].begin += int64(len(e.head))
		e.parts[i].end += int64(len(e.head))
	}
	e.size = int64(len(e.head)) + at
	return e, nil
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // json.Marshal of a string has no error: invalid UTF-8 is replaced
		panic(err)
	}
	return b
}

// shapeText is a shape as JSON has it: [64,32,3,3], and [] for a scalar.
func shapeText(shape []int) string {
	b := []byte{'['}
	for i, n := range shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, ']'))
}

// reader reads the encoding from its start. It can seek, so that a store may repeat a failed upload.
func (e *encoding) reader() *io.SectionReader { return io.NewSectionReader(e, 0, e.size) }

// ReadAt implements io.ReaderAt.
func (e *encoding) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at offset %d: expected an offset of at least 0", off)
	}
	n := 0
	if off < int64(len(e.head)) {
		n = copy(p, e.head[off:])
	}
	next := sort.Search(len(e.parts), func(i int) bool { return e.parts[i].end > off+int64(n) })
	for ; n < len(p) && next < len(e.parts); next++ {
		n += e.parts[next].readAt(p[n:], off+int64(n))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readAt copies the part's bytes from place off of the file on, as many as fit.
func (p part) readAt(dst []byte, off int64) int {
	width := int64(p.dtype.size())
	dst = dst[:min(int64(len(dst)), p.end-off)]
	n := 0
	for n < len(dst) {
		at := off + int64(n) - p.begin
		i, within := int(at/width), int(at%width)
		if whole := (len(dst) - n) / int(width); within == 0 && whole > 0 {
			p.put(dst[n:], i, i+whole)
			n += whole * int(width)
			continue
		}
		var one [8]byte // an element that the caller's buffer cuts
		p.put(one[:], i, i+1)
		n += copy(dst[n:], one[within:width])
	}
	return n
}
