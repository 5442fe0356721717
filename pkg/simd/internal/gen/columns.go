package main

import (
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// columnsKernels writes the passes of batch and group norms over a block of rows; columns_portable.go of package simd has what they compute.
func columnsKernels() {
	masks := laneMasks()
	blockKernel{
		name: "scaleShiftReLU", out: "y", inputs: []string{"x"}, rows: []string{"factor", "shift"}, width: 4,
		body: func(in, row, _ []VecVirtual) VecVirtual { return rectified(scaledShifted(in[0], row[0], row[1])) },
	}.write(masks)
	blockKernel{
		name: "scaleShiftAddReLU", out: "y", inputs: []string{"x", "r"}, rows: []string{"factor", "shift"}, width: 2,
		body: func(in, row, _ []VecVirtual) VecVirtual {
			v := scaledShifted(in[0], row[0], row[1])
			VADDPS(in[1], v, v)
			return rectified(v)
		},
	}.write(masks)
	blockKernel{
		name: "affine2ReLU", out: "dst", inputs: []string{"x", "y"}, rows: []string{"a", "b", "c"}, width: 2,
		body: func(in, row, _ []VecVirtual) VecVirtual {
			return rectified(scaledShifted(in[0], row[0], scaledShifted(in[1], row[1], row[2])))
		},
	}.write(masks)
	blockKernel{
		name: "sumDotDev", sums: []string{"sum", "dot"}, inputs: []string{"dy", "x"}, rows: []string{"mean"}, width: 2,
		body: func(in, row, acc []VecVirtual) VecVirtual {
			sumAndDot(acc, in[0], in[1], row[0])
			return nil
		},
	}.write(masks)
	blockKernel{
		name: "sumDotDevReLU", sums: []string{"sum", "dot"}, inputs: []string{"dy", "x"}, rows: []string{"factor", "shift", "mean"}, width: 2,
		body: func(in, row, acc []VecVirtual) VecVirtual {
			keepPositive(scaledShifted(in[1], row[0], row[1]), in[0])
			sumAndDot(acc, in[0], in[1], row[2])
			return nil
		},
	}.write(masks)
	blockKernel{
		name: "sumDotDevMasked", out: "dy", sums: []string{"sum", "dot"}, inputs: []string{"dy", "y", "x"}, rows: []string{"mean"}, width: 2,
		body: func(in, row, acc []VecVirtual) VecVirtual {
			keepPositive(in[1], in[0])
			sumAndDot(acc, in[0], in[2], row[0])
			return in[0]
		},
	}.write(masks)
	blockKernel{
		name: "affine2Masked", out: "dx", inputs: []string{"dy", "x"}, rows: []string{"factor", "shift", "b", "c"}, width: 2,
		body: func(in, row, _ []VecVirtual) VecVirtual {
			keepPositive(scaledShifted(in[1], row[0], row[1]), in[0])
			return scaledShifted(in[0], row[0], scaledShifted(in[1], row[2], row[3]))
		},
	}.write(masks)
	momentsKernel(masks)
}

// scaledShifted is x·factor + shift.
func scaledShifted(x, factor, shift VecVirtual) VecVirtual {
	v := YMM()
	VMOVAPS(shift, v)
	VFMADD231PS(factor, x, v)
	return v
}

func rectified(v VecVirtual) VecVirtual {
	zero := YMM()
	VXORPS(zero, zero, zero)
	VMAXPS(v, zero, v) // the second source is returned for NaN: v
	return v
}

// keepPositive zeroes g where y is not above zero; it overwrites y.
func keepPositive(y, g VecVirtual) {
	zero := YMM()
	VXORPS(zero, zero, zero)
	VCMPPS(U8(greaterThan), zero, y, y)
	VANDPS(y, g, g)
}

// sumAndDot adds g and g·(x−mean) to two sums.
func sumAndDot(acc []VecVirtual, g, x, mean VecVirtual) {
	d := YMM()
	VADDPS(g, acc[0], acc[0])
	VSUBPS(mean, x, d)
	VFMADD231PS(d, g, acc[1])
}

// A blockKernel walks down a block of rows in strips of columns. It computes a matrix, or sums of each column, or both; values that are
// the same for a whole column stay in registers.
type blockKernel struct {
	name   string
	out    string   // matrix written; "" for none
	sums   []string // one value a column, written
	inputs []string // matrices read; one may be the one written
	rows   []string // one value a column, read
	width  int      // vectors of columns a wide strip
	body   func(in, row, acc []VecVirtual) VecVirtual
}

func (k blockKernel) write(masks Mem) {
	var params []string
	if k.out != "" {
		params = append(params, k.out)
	}
	params = append(params, k.sums...)
	for _, p := range append(append([]string{}, k.inputs...), k.rows...) {
		if p != k.out {
			params = append(params, p)
		}
	}
	TEXT(k.name+"AVX2", attr.NOSPLIT, "func("+strings.Join(params, ", ")+" *float32, rows, cols int)")
	Doc(k.name + "AVX2 is " + k.name + "Portable for at least one row.")
	Pragma("noescape")
	s := blockStrips{kernel: k, cols: integer("cols"), stride: bytesOf("cols")}
	if k.out != "" {
		s.out = pointer(k.out)
		s.moving = append(s.moving, s.out)
	}
	for _, list := range []struct {
		names []string
		mems  *[]Mem
	}{{k.sums, &s.sums}, {k.inputs, &s.in}, {k.rows, &s.row}} {
		for _, name := range list.names {
			m := s.out
			if name != k.out {
				m = pointer(name)
				s.moving = append(s.moving, m)
			}
			*list.mems = append(*list.mems, m)
		}
	}
	eachStrip(s.cols, masks, k.width, s.strip)
}

// eachStrip writes the loops over strips of columns: wide ones, single vectors, and a part of one. strip moves the pointers and counts
// cols down where mask is nil.
func eachStrip(cols GPVirtual, masks Mem, width int, strip func(width int, mask Op)) {
	wide, narrow, tail, done := label("wide"), label("narrow"), label("tail"), label("done")
	Label(wide)
	CMPQ(cols, U32(width*lanes))
	JL(LabelRef(narrow))
	strip(width, nil)
	JMP(LabelRef(wide))
	Label(narrow)
	CMPQ(cols, U32(lanes))
	JL(LabelRef(tail))
	strip(1, nil)
	JMP(LabelRef(narrow))
	Label(tail)
	TESTQ(cols, cols)
	JZ(LabelRef(done))
	strip(1, maskOf(masks, cols))
	Label(done)
	VZEROUPPER()
	RET()
}

// blockStrips are the pointers of a block kernel, at the first column not yet done.
type blockStrips struct {
	kernel        blockKernel
	out           Mem
	sums, in, row []Mem
	moving        []Mem
	cols, stride  GPVirtual
}

func (s *blockStrips) strip(width int, mask Op) {
	rowValues, acc := make([][]VecVirtual, width), make([][]VecVirtual, width)
	for u := range width {
		for _, m := range s.row {
			rowValues[u] = append(rowValues[u], load(m.Offset(vector*u), mask))
		}
		acc[u] = zeroed(len(s.sums))
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
		v := s.kernel.body(in, rowValues[u], acc[u])
		if s.kernel.out != "" {
			store(v, mask, s.out.Idx(at, 1).Offset(vector*u))
		}
	}
	ADDQ(s.stride, at)
	DECQ(rows)
	JNZ(LabelRef(loop))
	for u := range width {
		for i, m := range s.sums {
			store(acc[u][i], mask, m.Offset(vector*u))
		}
	}
	if mask == nil {
		advance(s.moving, width, s.cols)
	}
}

// advance moves pointers, and counts columns down, by width vectors.
func advance(pointers []Mem, width int, cols GPVirtual) {
	for _, m := range pointers {
		ADDQ(U32(vector*width), m.Base)
	}
	SUBQ(U32(lanes*width), cols)
}

// momentsKernel writes the kernel of a block's means, summed as distances from the first row, and then, while the block is near, of the
// squares of the distances from the means.
func momentsKernel(masks Mem) {
	TEXT("momentsAVX2", attr.NOSPLIT, "func(mean, sqDev, x *float32, share float32, rows, cols int)")
	Doc("momentsAVX2 is momentsPortable for at least one row.")
	Pragma("noescape")
	mean, sqDev, x := pointer("mean"), pointer("sqDev"), pointer("x")
	cols, stride := integer("cols"), bytesOf("cols")
	share := broadcast("share")
	eachStrip(cols, masks, 4, func(width int, mask Op) {
		acc, level := zeroed(width), make([]VecVirtual, width)
		for u := range width {
			level[u] = load(x.Offset(vector*u), mask)
		}
		down := func(body func(u int, v VecVirtual)) {
			at, rows := GP64(), integer("rows")
			XORQ(at, at)
			loop := label("row")
			Label(loop)
			for u := range width {
				body(u, load(x.Idx(at, 1).Offset(vector*u), mask))
			}
			ADDQ(stride, at)
			DECQ(rows)
			JNZ(LabelRef(loop))
		}
		down(func(u int, v VecVirtual) {
			VSUBPS(level[u], v, v)
			VADDPS(v, acc[u], acc[u])
		})
		for u := range width {
			VFMADD231PS(share, acc[u], level[u])
			store(level[u], mask, mean.Offset(vector*u))
			VXORPS(acc[u], acc[u], acc[u])
		}
		down(func(u int, v VecVirtual) {
			VSUBPS(level[u], v, v)
			VFMADD231PS(v, v, acc[u])
		})
		for u := range width {
			store(acc[u], mask, sqDev.Offset(vector*u))
		}
		if mask == nil {
			advance([]Mem{mean, sqDev, x}, width, cols)
		}
	})
}
