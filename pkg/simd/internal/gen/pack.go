package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func packKernels() {
	masks := laneMasks()
	packRows()
	packColumns(masks)
	transpose()
}

// packRows copies rows of 16 floats, two a step.
func packRows() {
	TEXT("packRowsAVX2", attr.NOSPLIT, "func(dst, src *float32, ld, k int)")
	Doc("packRowsAVX2 is packRowsPortable.")
	Pragma("noescape")
	dst, src, ld, k := pointer("dst"), pointer("src"), bytesOf("ld"), integer("k")
	row := func() {
		v0, v1 := YMM(), YMM()
		VMOVUPS(src, v0)
		VMOVUPS(src.Offset(vector), v1)
		VMOVUPS(v0, dst)
		VMOVUPS(v1, dst.Offset(vector))
		ADDQ(ld, src.Base)
		ADDQ(U32(2*vector), dst.Base)
	}
	TESTQ(U32(1), k)
	JZ(LabelRef("even"))
	row()
	Label("even")
	SHRQ(U8(1), k)
	JZ(LabelRef("done"))
	Label("pair")
	row()
	row()
	DECQ(k)
	JNZ(LabelRef("pair"))
	Label("done")
	VZEROUPPER()
	RET()
}

// packColumns copies up to six floats a row, and always stores six: a masked load cannot fault beyond the slice, and six floats are
// the size of an entry.
func packColumns(masks Mem) {
	TEXT("packColumnsAVX2", attr.NOSPLIT, "func(dst, src *float32, ld, k, width int)")
	Doc("packColumnsAVX2 is packColumnsPortable for k ≥ 1; entries narrower than six are filled with zeros.")
	Pragma("noescape")
	mask := maskOf(masks, integer("width"))
	dst, src, ld, k := pointer("dst"), pointer("src"), bytesOf("ld"), integer("k")
	Label("row")
	v, high := YMM(), XMM()
	VMASKMOVPS(src, mask, v)
	VEXTRACTF128(U8(1), v, high)
	VMOVUPS(v.AsX(), dst)
	VMOVLPS(high, dst.Offset(16))
	ADDQ(ld, src.Base)
	ADDQ(U32(floatBytes*tileRows), dst.Base)
	DECQ(k)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// transpose works in blocks of 8×8: neighbours are interleaved, then pairs, then halves.
func transpose() {
	TEXT("transposeAVX2", attr.NOSPLIT, "func(dst *float32, ldd int, src *float32, lds, rows, cols int)")
	Doc("transposeAVX2 is transposePortable for rows and cols that are positive multiples of 8.")
	Pragma("noescape")
	dst, ldd, src, lds := pointer("dst"), bytesOf("ldd"), pointer("src"), bytesOf("lds")
	rows := integer("rows")

	Label("rows")
	from, to, cols := GP64(), GP64(), integer("cols")
	MOVQ(src.Base, from)
	MOVQ(dst.Base, to)
	Label("cols")
	transposeBlock(from, lds, to, ldd)
	ADDQ(U32(vector), from)
	LEAQ(Mem{Base: to, Index: ldd, Scale: 8}, to)
	SUBQ(U32(lanes), cols)
	JNZ(LabelRef("cols"))
	LEAQ(Mem{Base: src.Base, Index: lds, Scale: 8}, src.Base)
	ADDQ(U32(vector), dst.Base)
	SUBQ(U32(lanes), rows)
	JNZ(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// rowPointers returns the addresses of eight rows, using three registers.
func rowPointers(base, stride GPVirtual) [lanes]Mem {
	third, sixth := GP64(), GP64()
	LEAQ(Mem{Base: base, Index: stride, Scale: 2}, third)
	ADDQ(stride, third)
	LEAQ(Mem{Base: third, Index: stride, Scale: 2}, sixth)
	ADDQ(stride, sixth)
	var m [lanes]Mem
	for i := range m {
		m[i] = Mem{Base: [...]GPVirtual{base, third, sixth}[i/3]}
		if i%3 > 0 {
			m[i].Index, m[i].Scale = stride, uint8(i%3)
		}
	}
	return m
}

func transposeBlock(from, lds, to, ldd GPVirtual) {
	src := rowPointers(from, lds)
	// Row i of the left half sits beside row i+4: four registers then hold the left half of the block, four the right.
	var quads [lanes]VecVirtual
	for i := range 4 {
		left, right := YMM(), YMM()
		VMOVUPS(src[i], left.AsX())
		VINSERTF128(U8(1), src[i+4], left, left)
		VMOVUPS(src[i].Offset(16), right.AsX())
		VINSERTF128(U8(1), src[i+4].Offset(16), right, right)
		quads[i], quads[i+4] = left, right
	}
	out := rowPointers(to, ldd)
	for half := range 2 {
		q := quads[4*half : 4*half+4]
		low0, high0, low1, high1 := YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(q[1], q[0], low0)
		VUNPCKHPS(q[1], q[0], high0)
		VUNPCKLPS(q[3], q[2], low1)
		VUNPCKHPS(q[3], q[2], high1)
		for i, pair := range [2][2]VecVirtual{{low0, low1}, {high0, high1}} {
			first, second := YMM(), YMM()
			VUNPCKLPD(pair[1], pair[0], first)
			VUNPCKHPD(pair[1], pair[0], second)
			VMOVUPS(first, out[4*half+2*i])
			VMOVUPS(second, out[4*half+2*i+1])
		}
	}
}
