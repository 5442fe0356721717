package main

import (
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func columnKernels() {
	masks := laneMasks()
	columnKernel{
		name: "columnSumBlock", sum: true, inputs: []string{"x"},
		body: func(in, _ []VecVirtual, acc VecVirtual) VecVirtual {
			VADDPS(in[0], acc, acc)
			return acc
		},
	}.write(masks)
	columnKernel{
		name: "columnSqDevBlock", sum: true, inputs: []string{"x"}, rows: []string{"mean"},
		body: func(in, row []VecVirtual, acc VecVirtual) VecVirtual {
			VSUBPS(row[0], in[0], in[0])
			VFMADD231PS(in[0], in[0], acc)
			return acc
		},
	}.write(masks)
	columnKernel{
		name: "columnDotBlock", sum: true, inputs: []string{"x", "y"},
		body: func(in, _ []VecVirtual, acc VecVirtual) VecVirtual {
			VFMADD231PS(in[1], in[0], acc)
			return acc
		},
	}.write(masks)
	columnKernel{
		name: "columnDotDevBlock", sum: true, inputs: []string{"x", "y"}, rows: []string{"mean"},
		body: func(in, row []VecVirtual, acc VecVirtual) VecVirtual {
			VSUBPS(row[0], in[1], in[1])
			VFMADD231PS(in[1], in[0], acc)
			return acc
		},
	}.write(masks)
	columnKernel{
		name: "scaleShift", inputs: []string{"x"}, rows: []string{"factor", "shift"},
		body: func(in, row []VecVirtual, _ VecVirtual) VecVirtual {
			out := YMM()
			VMOVAPS(row[1], out)
			VFMADD231PS(row[0], in[0], out)
			return out
		},
	}.write(masks)
	columnKernel{
		name: "addRow", inputs: []string{"dst"}, rows: []string{"row"},
		body: func(in, row []VecVirtual, _ VecVirtual) VecVirtual {
			VADDPS(row[0], in[0], in[0])
			return in[0]
		},
	}.write(masks)
	columnKernel{
		name: "affine2", inputs: []string{"x", "y"}, rows: []string{"a", "b", "c"},
		body: func(in, row []VecVirtual, _ VecVirtual) VecVirtual {
			out := YMM()
			VMOVAPS(row[2], out)
			VFMADD231PS(row[1], in[1], out)
			VFMADD231PS(row[0], in[0], out)
			return out
		},
	}.write(masks)
}

// A columnKernel walks down (rows, cols) matrices in strips of columns. It either sums each column into a row of results or computes a
// matrix; values that are the same for a whole column stay in registers.
type columnKernel struct {
	name   string
	sum    bool
	inputs []string // matrices read; "dst" is the result itself
	rows   []string // one value a column
	body   func(in, row []VecVirtual, acc VecVirtual) VecVirtual
}

func (k columnKernel) write(masks Mem) {
	params := []string{"dst"}
	for _, p := range append(append([]string{}, k.inputs...), k.rows...) {
		if p != "dst" {
			params = append(params, p)
		}
	}
	TEXT(k.name+"AVX2", attr.NOSPLIT, "func("+strings.Join(params, ", ")+" *float32, rows, cols int)")
	Doc(k.name + "AVX2 is " + k.name + "Portable for at least one row.")
	Pragma("noescape")
	s := strips{kernel: k, dst: pointer("dst"), cols: integer("cols"), stride: bytesOf("cols")}
	for _, p := range k.inputs {
		if p == "dst" {
			s.in = append(s.in, s.dst)
			continue
		}
		s.in = append(s.in, pointer(p))
	}
	for _, p := range k.rows {
		s.row = append(s.row, pointer(p))
	}
	const wide = 4
	wideStrip, narrowStrip, tail := label("wide"), label("narrow"), label("tail")
	Label(wideStrip)
	CMPQ(s.cols, U32(wide*lanes))
	JL(LabelRef(narrowStrip))
	s.strip(wide, nil)
	JMP(LabelRef(wideStrip))
	Label(narrowStrip)
	CMPQ(s.cols, U32(lanes))
	JL(LabelRef(tail))
	s.strip(1, nil)
	JMP(LabelRef(narrowStrip))
	Label(tail)
	done := label("done")
	TESTQ(s.cols, s.cols)
	JZ(LabelRef(done))
	s.strip(1, maskOf(masks, s.cols))
	Label(done)
	VZEROUPPER()
	RET()
}

// strips are the pointers of a column kernel, at the first column not yet done.
type strips struct {
	kernel       columnKernel
	dst          Mem
	in, row      []Mem
	cols, stride GPVirtual
}

func load(m Mem, mask Op) VecVirtual {
	v := YMM()
	if mask == nil {
		VMOVUPS(m, v)
	} else {
		VMASKMOVPS(m, mask, v)
	}
	return v
}

func store(v VecVirtual, mask Op, m Mem) {
	if mask == nil {
		VMOVUPS(v, m)
	} else {
		VMASKMOVPS(v, mask, m)
	}
}

// strip does all rows of width vectors of columns, or with a mask of a part of one, and moves on.
func (s *strips) strip(width int, mask Op) {
	rowValues := make([][]VecVirtual, width)
	for u := range width {
		for _, m := range s.row {
			rowValues[u] = append(rowValues[u], load(m.Offset(vector*u), mask))
		}
	}
	acc := make([]VecVirtual, width)
	if s.kernel.sum {
		acc = zeroed(width)
	}
	at, rows := GP64(), integer("rows")
	XORQ(at, at)
	loop := label("row")
	Label(loop)
	for u := range width {
		var in []VecVirtual
		for _, m := range s.in {
			in = append(in, load(m.Idx(at, 1).Offset(vector*u), mask))
		}
		out := s.kernel.body(in, rowValues[u], acc[u])
		if !s.kernel.sum {
			store(out, mask, s.dst.Idx(at, 1).Offset(vector*u))
		}
	}
	ADDQ(s.stride, at)
	DECQ(rows)
	JNZ(LabelRef(loop))
	if s.kernel.sum {
		for u := range width {
			old := load(s.dst.Offset(vector*u), mask)
			VADDPS(old, acc[u], acc[u])
			store(acc[u], mask, s.dst.Offset(vector*u))
		}
	}
	if mask != nil {
		return
	}
	moved := map[Register]bool{}
	for _, m := range append(append([]Mem{s.dst}, s.in...), s.row...) {
		if !moved[m.Base] {
			moved[m.Base] = true
			ADDQ(U32(vector*width), m.Base)
		}
	}
	SUBQ(U32(lanes*width), s.cols)
}
