package nn

import (
	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

// Align is the granularity of an Arena: every parameter starts at a multiple of Align elements. It is the block size of the
// collectives' fixed point, so that no block spans two parameters.
const Align = 128

// Param is one named tensor of an Arena.
type Param struct {
	Name        string // as PyTorch names it: "layer1.0.conv1.weight"
	Shape       []int  // convolutions (K, K, Cin, Cout), linear layers (out, in), tokens and positions (1, tokens, width), all others (C)
	Offset, Len int    // its elements are Data[Offset : Offset+Len]
	Decay       bool   // false for biases, norm parameters, tokens and positions, which some recipes exclude from weight decay
	Value       *tensor.Dense
}

// Arena is a set of named tensors in one contiguous run of memory. What lies between them is zero and stays zero.
type Arena struct {
	Data   []float32
	Params []Param
}

// clone copies the values; the copy's Params view the copy's Data.
func (a *Arena) clone() *Arena {
	c := &Arena{Data: append([]float32(nil), a.Data...), Params: append([]Param(nil), a.Params...)}
	c.bind()
	return c
}

// bind points every Param's Value at its part of Data.
func (a *Arena) bind() {
	for i := range a.Params {
		p := &a.Params[i]
		end := p.Offset + p.Len
		p.Value = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(a.Data[p.Offset:end:end]))
	}
}

// clearPadding zeroes what lies between the parameters in data, which is laid out as a.Data.
func (a *Arena) clearPadding(data []float32) {
	for i, p := range a.Params {
		end := len(data)
		if i+1 < len(a.Params) {
			end = a.Params[i+1].Offset
		}
		clear(data[p.Offset+p.Len : end])
	}
}

// slot is a parameter's place in its arena.
type slot struct{ offset, len int }

func (s slot) of(data []float32) []float32 { return data[s.offset : s.offset+s.len] }

// filler writes a parameter's initial value; key is the parameter's own.
type filler func(dst []float32, key keyed.Key)

// layout collects parameters while a model is built and makes the arena when all are known.
type layout struct {
	params []Param
	fill   []filler
	size   int
}

func (l *layout) add(name string, decay bool, fill filler, shape ...int) slot {
	n := tensor.Shape(shape).TotalSize()
	l.params = append(l.params, Param{Name: name, Shape: shape, Offset: l.size, Len: n, Decay: decay})
	l.fill = append(l.fill, fill)
	s := slot{l.size, n}
	l.size += (n + Align - 1) / Align * Align
	return s
}

// arena allocates the run and draws the initial values. A value depends on key, the parameter's name and the element's index alone.
func (l *layout) arena(key keyed.Key) *Arena {
	a := &Arena{Data: make([]float32, l.size), Params: l.params}
	a.bind()
	for i, p := range a.Params {
		l.fill[i](a.Data[p.Offset:p.Offset+p.Len], key.For(p.Name))
	}
	return a
}

// copied allocates the run and takes its values from the first part of data, which is laid out alike.
func (l *layout) copied(data []float32) *Arena {
	a := &Arena{Data: append([]float32(nil), data[:l.size]...), Params: l.params}
	a.bind()
	return a
}

// ToTorch copies a parameter into the shape that PyTorch gives it: convolutions (K, K, Cin, Cout) become (Cout, Cin, K, K), all others
// keep theirs.
func ToTorch(p Param) *tensor.Dense {
	src := p.Value.Float32s()
	if len(p.Shape) != 4 {
		return tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(append([]float32(nil), src...)))
	}
	taps, in, out := p.Shape[0]*p.Shape[1], p.Shape[2], p.Shape[3]
	dst := make([]float32, len(src))
	for t := range taps {
		for i := range in {
			for o := range out {
				dst[(o*in+i)*taps+t] = src[(t*in+i)*out+o]
			}
		}
	}
	return tensor.New(tensor.WithShape(out, in, p.Shape[0], p.Shape[1]), tensor.WithBacking(dst))
}
