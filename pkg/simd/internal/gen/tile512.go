package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	wideVector  = 64 // bytes of a 512-bit register: a row of B in a panel
	wideRows    = 14 // of a tile two panels wide: 28 sums leave four of 32 registers for the operands
	widePairing = 16 // of a tile of pairs: a register's width on both sides
)

func wideTileKernels() {
	for panels := 1; panels <= 2; panels++ {
		for rows := 1; rows <= wideRows; rows++ {
			wideRowTile(rows, panels)
		}
	}
	for rows := 1; rows <= widePairing; rows++ {
		widePairTile(rows)
	}
}

func wideZeroed(n int) []VecVirtual {
	acc := make([]VecVirtual, n)
	for i := range acc {
		acc[i] = ZMM()
		VPXORD(acc[i], acc[i], acc[i])
	}
	return acc
}

// wideStore stores the sums, row by row, at c, or adds them to what is there; of each row only the columns of the mask are touched.
func wideStore(acc []VecVirtual, panels int) {
	c, ldc := pointer("c"), bytesOf("ldc")
	bits := Load(Param("mask"), GP64()).(GPVirtual)
	masks := make([]OpmaskVirtual, panels)
	for i := range masks {
		masks[i] = K()
		KMOVW(bits.As32(), masks[i])
		SHRQ(U8(wideVector/floatBytes), bits)
	}
	rows := len(acc) / panels
	set := newRowSet(rows, ldc)
	MOVQ(c.Base, set.bases[0])
	set.start()
	add, store := Load(Param("add"), GP8()), label("store")
	TESTB(add, add)
	JZ(LabelRef(store))
	for i := range acc {
		VADDPS(set.at(i/panels, wideVector*(i%panels)), acc[i], masks[i%panels], acc[i])
	}
	Label(store)
	for i := range acc {
		VMOVUPS(acc[i], masks[i%panels], set.at(i/panels, wideVector*(i%panels)))
	}
	VZEROUPPER()
	RET()
}

// An askedAhead walks over memory that will be needed after the tile, a cache line a step, and stays at its end.
type askedAhead struct {
	at  Mem
	end GPVirtual
}

func newAhead() askedAhead {
	return askedAhead{pointer("ahead"), integer("aheadEnd")}
}

func (h askedAhead) ask() {
	PREFETCHT1(h.at)
	ADDQ(U32(wideVector), h.at.Base)
	CMPQ(h.at.Base, h.end)
	CMOVQCC(h.end, h.at.Base)
}

// wideRowTile writes the kernel of rowTilePortable for a number of rows and of panels.
func wideRowTile(rows, panels int) {
	name := fmt.Sprintf("rowTile%dx%dAVX512", rows, panels)
	TEXT(name, attr.NOSPLIT, "func(c *float32, ldc int, a *float32, lda int, b *float32, bStep int, taps *int, count int, depth int, mask uint64, add bool, ahead *float32, aheadEnd *float32)")
	Doc(fmt.Sprintf("%s is rowTilePortable for %d rows and, of the columns of %d panels, those in the mask. Every four elements of depth it asks for one line of memory ahead.", name, rows, panels))
	Pragma("noescape")

	lda, bStep := bytesOf("lda"), bytesOf("bStep")
	ahead := newAhead()
	taps, count := pointer("taps"), integer("count")
	acc := wideZeroed(rows * panels)
	set := newRowSet(rows, lda)
	right := Mem{Base: GP64()}
	step := func(u int) {
		b := make([]VecVirtual, panels)
		for i := range b {
			b[i] = ZMM()
			from := right.Offset(wideVector * u)
			if i > 0 {
				from = from.Idx(bStep, 1)
			}
			VMOVUPS(from, b[i])
		}
		for r := range rows {
			if panels == 1 {
				VFMADD231PS_BCST(set.at(r, floatBytes*u), b[0], acc[r])
				continue
			}
			a := ZMM()
			VBROADCASTSS(set.at(r, floatBytes*u), a)
			for i := range b {
				VFMADD231PS(b[i], a, acc[panels*r+i])
			}
		}
	}

	TESTQ(count, count)
	JZ(LabelRef("done"))
	Label("tap")
	from := GP64()
	MOVQ(taps, from)
	Load(Param("a"), set.bases[0])
	LEAQ(Mem{Base: set.bases[0], Index: from, Scale: floatBytes}, set.bases[0])
	set.start()
	MOVQ(taps.Offset(8), from)
	Load(Param("b"), right.Base)
	LEAQ(Mem{Base: right.Base, Index: from, Scale: floatBytes}, right.Base)
	ADDQ(U32(tapBytes), taps.Base)

	left := integer("depth")
	SUBQ(U32(rowUnroll), left)
	JL(LabelRef("single"))
	Label("unrolled")
	for u := range rowUnroll {
		step(u)
	}
	ahead.ask()
	set.advance(floatBytes * rowUnroll)
	ADDQ(U32(wideVector*rowUnroll), right.Base)
	SUBQ(U32(rowUnroll), left)
	JGE(LabelRef("unrolled"))

	Label("single")
	ADDQ(U32(rowUnroll), left)
	JZ(LabelRef("next"))
	Label("one")
	step(0)
	set.advance(floatBytes)
	ADDQ(U32(wideVector), right.Base)
	DECQ(left)
	JNZ(LabelRef("one"))

	Label("next")
	DECQ(count)
	JNZ(LabelRef("tap"))
	Label("done")
	wideStore(acc, panels)
}

// widePairTile writes the kernel of pairTilePortable for a number of rows.
func widePairTile(rows int) {
	name := fmt.Sprintf("pairTile%dAVX512", rows)
	TEXT(name, attr.NOSPLIT, "func(c *float32, ldc int, a *float32, b *float32, taps *int, count int, blocks int, aStep int, bStep int, mask uint64, add bool, ahead *float32, aheadEnd *float32)")
	Doc(fmt.Sprintf("%s is pairTilePortable for %d rows and the columns in the mask. Every tap it asks for one line of memory ahead.", name, rows))
	Pragma("noescape")

	a, b := pointer("a"), pointer("b")
	aStep, bStep := bytesOf("aStep"), bytesOf("bStep")
	ahead := newAhead()
	first, count, blocks := pointer("taps"), integer("count"), integer("blocks")
	acc := wideZeroed(rows)
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
	right := ZMM()
	VMOVUPS(Mem{Base: b.Base, Index: bt, Scale: floatBytes}, right)
	for r := range rows {
		VFMADD231PS_BCST(Mem{Base: a.Base, Index: at, Scale: floatBytes, Disp: floatBytes * r}, right, acc[r])
	}
	ahead.ask()
	ADDQ(U32(tapBytes), taps.Base)
	DECQ(left)
	JNZ(LabelRef("tap"))
	ADDQ(aStep, a.Base)
	ADDQ(bStep, b.Base)
	DECQ(blocks)
	JNZ(LabelRef("block"))

	Label("done")
	wideStore(acc, 1)
}
