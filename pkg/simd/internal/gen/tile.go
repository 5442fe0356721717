package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	tileRows   = 6
	tilePair   = 2 * vector // bytes of a row of B in a panel
	rowUnroll  = 4
	tapBytes   = 16
	floatBytes = 4
)

func tileKernels() {
	for rows := 1; rows <= tileRows; rows++ {
		rowTile(rows)
	}
	for rows := 1; rows <= tileRows; rows++ {
		pairTile(rows)
	}
}

// A rowSet addresses rows a constant distance apart: a pointer for every three rows, and scaled indices.
type rowSet struct {
	bases  []GPVirtual
	stride GPVirtual
}

func newRowSet(rows int, stride GPVirtual) rowSet {
	s := rowSet{stride: stride}
	for range (rows + 2) / 3 {
		s.bases = append(s.bases, GP64())
	}
	return s
}

// start points the set at the row that the first base already holds.
func (s rowSet) start() {
	for i, base := range s.bases[1:] {
		LEAQ(Mem{Base: s.bases[i], Index: s.stride, Scale: 2}, base)
		ADDQ(s.stride, base)
	}
}

func (s rowSet) advance(bytes int) {
	for _, base := range s.bases {
		ADDQ(U32(bytes), base)
	}
}

func (s rowSet) at(row, disp int) Mem {
	m := Mem{Base: s.bases[row/3], Disp: disp}
	if row%3 > 0 {
		m.Index, m.Scale = s.stride, uint8(row%3)
	}
	return m
}

// multiplyAdd adds the outer product of a column of A and a row of B to the accumulators, a pair of registers a row.
func multiplyAdd(acc []VecVirtual, left func(row int) Mem, right Mem) {
	b0, b1 := YMM(), YMM()
	VMOVUPS(right, b0)
	VMOVUPS(right.Offset(vector), b1)
	for r := range len(acc) / 2 {
		a := YMM()
		VBROADCASTSS(left(r), a)
		VFMADD231PS(b0, a, acc[2*r])
		VFMADD231PS(b1, a, acc[2*r+1])
	}
}

// storeTile stores the accumulators at c, or adds them to what is there.
func storeTile(acc []VecVirtual, c Mem, ldc GPVirtual) {
	add := GP8()
	Load(Param("add"), add)
	store := label("store")
	rows := len(acc) / 2
	set := newRowSet(rows, ldc)
	MOVQ(c.Base, set.bases[0])
	set.start()
	TESTB(add, add)
	JZ(LabelRef(store))
	for r := range rows {
		VADDPS(set.at(r, 0), acc[2*r], acc[2*r])
		VADDPS(set.at(r, vector), acc[2*r+1], acc[2*r+1])
	}
	Label(store)
	for r := range rows {
		VMOVUPS(acc[2*r], set.at(r, 0))
		VMOVUPS(acc[2*r+1], set.at(r, vector))
	}
	VZEROUPPER()
	RET()
}

// rowTile writes the kernel of rowTilePortable for a number of rows.
func rowTile(rows int) {
	name := fmt.Sprintf("rowTile%dAVX2", rows)
	TEXT(name, attr.NOSPLIT, "func(c *float32, ldc int, a *float32, lda int, b *float32, taps *int, count int, depth int, add bool)")
	Doc(fmt.Sprintf("%s is rowTilePortable for %d rows.", name, rows))
	Pragma("noescape")

	a, b := pointer("a"), pointer("b")
	lda := bytesOf("lda")
	taps, count := pointer("taps"), integer("count")
	acc := zeroed(2 * rows)
	set := newRowSet(rows, lda)
	right := Mem{Base: GP64()}
	step := func(u int) {
		multiplyAdd(acc, func(r int) Mem { return set.at(r, floatBytes*u) }, right.Offset(tilePair*u))
	}

	TESTQ(count, count)
	JZ(LabelRef("done"))
	Label("tap")
	MOVQ(taps, set.bases[0])
	LEAQ(Mem{Base: a.Base, Index: set.bases[0], Scale: floatBytes}, set.bases[0])
	set.start()
	MOVQ(taps.Offset(8), right.Base)
	LEAQ(Mem{Base: b.Base, Index: right.Base, Scale: floatBytes}, right.Base)
	ADDQ(U32(tapBytes), taps.Base)

	left := integer("depth")
	SUBQ(U32(rowUnroll), left)
	JL(LabelRef("single"))
	Label("unrolled")
	for u := range rowUnroll {
		step(u)
	}
	set.advance(floatBytes * rowUnroll)
	ADDQ(U32(tilePair*rowUnroll), right.Base)
	SUBQ(U32(rowUnroll), left)
	JGE(LabelRef("unrolled"))

	Label("single")
	ADDQ(U32(rowUnroll), left)
	JZ(LabelRef("next"))
	Label("one")
	step(0)
	set.advance(floatBytes)
	ADDQ(U32(tilePair), right.Base)
	DECQ(left)
	JNZ(LabelRef("one"))

	Label("next")
	DECQ(count)
	JNZ(LabelRef("tap"))
	Label("done")
	storeTile(acc, pointer("c"), bytesOf("ldc"))
}

// pairTile writes the kernel of pairTilePortable for a number of rows.
func pairTile(rows int) {
	name := fmt.Sprintf("pairTile%dAVX2", rows)
	TEXT(name, attr.NOSPLIT, "func(c *float32, ldc int, a *float32, b *float32, taps *int, count int, blocks int, aStep int, bStep int, add bool)")
	Doc(fmt.Sprintf("%s is pairTilePortable for %d rows.", name, rows))
	Pragma("noescape")

	a, b := pointer("a"), pointer("b")
	aStep, bStep := bytesOf("aStep"), bytesOf("bStep")
	first, count, blocks := pointer("taps"), integer("count"), integer("blocks")
	acc := zeroed(2 * rows)
	TESTQ(count, count)
	JZ(LabelRef("done"))
	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))

	Label("block")
	taps, left := Mem{Base: GP64()}, GP64()
	MOVQ(first.Base, taps.Base)
	MOVQ(count, left)
	Label("tap")
	at, bt := GP64(), GP64()
	MOVQ(taps, at)
	MOVQ(taps.Offset(8), bt)
	multiplyAdd(acc, func(r int) Mem { return Mem{Base: a.Base, Index: at, Scale: floatBytes, Disp: floatBytes * r} },
		Mem{Base: b.Base, Index: bt, Scale: floatBytes})
	ADDQ(U32(tapBytes), taps.Base)
	DECQ(left)
	JNZ(LabelRef("tap"))
	ADDQ(aStep, a.Base)
	ADDQ(bStep, b.Base)
	DECQ(blocks)
	JNZ(LabelRef("block"))

	Label("done")
	storeTile(acc, pointer("c"), bytesOf("ldc"))
}
