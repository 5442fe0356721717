package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A panelPath is an instruction set for the kernels of panel.go. Both do the same operations on each number in the same order, so that their
// results are the same bits.
type panelPath struct {
	suffix string
	lanes  int   // floats in a register
	rows   []int // of the tiles
	vector func() VecVirtual
	// masked prepares moves of the first cols of two registers' columns.
	masked func(cols GPVirtual) (load, store [2]func(from, to Op))
	// exp loads constants and returns a function that overwrites its argument.
	exp func() func(v VecVirtual) VecVirtual
}

// panelKernels writes those for AVX2.
func panelKernels() {
	masks := laneMasks()
	numbers := newConstants("panelExpConstants").exp()
	panelPath{
		suffix: "AVX2", lanes: lanes, rows: []int{4, 1}, vector: func() VecVirtual { return YMM() },
		masked: func(cols GPVirtual) (load, store [2]func(from, to Op)) {
			for half := range 2 {
				mask := maskOf(masks, between(cols, half*lanes))
				load[half] = func(from, to Op) { VMASKMOVPS(from, mask, to) }
				store[half] = func(from, to Op) { VMASKMOVPS(from, mask, to) }
			}
			return load, store
		},
		exp: func() func(VecVirtual) VecVirtual { return numbers.of },
	}.write()
}

// between is n − from, but 0 … 8.
func between(n GPVirtual, from int) GPVirtual {
	here, bound := GP64(), GP64()
	MOVQ(n, here)
	SUBQ(U32(from), here)
	MOVQ(U32(lanes), bound)
	CMPQ(here, bound)
	CMOVQGT(bound, here)
	XORQ(bound, bound)
	TESTQ(here, here)
	CMOVQLT(bound, here)
	return here
}

// panelWideKernels writes those for AVX-512.
func panelWideKernels() {
	numbers := newWideExp("panelWideConstants")
	panelPath{
		suffix: "AVX512", lanes: 2 * lanes, rows: []int{8, 1}, vector: func() VecVirtual { return ZMM() },
		masked: func(cols GPVirtual) (load, store [2]func(from, to Op)) {
			bits := GP64()
			MOVQ(I32(-1), bits)
			BZHIQ(cols, bits, bits)
			for half := range 2 {
				mask := K()
				KMOVW(bits.As32(), mask)
				SHRQ(U8(2*lanes), bits)
				load[half] = func(from, to Op) { VMOVUPS_Z(from, mask, to) }
				store[half] = func(from, to Op) { VMOVUPS(from, mask, to) }
			}
			return load, store
		},
		exp: numbers.load,
	}.write()
	scoreBlocks()
	sumBlocks()
}

// blockRows is the number of rows in a block of scoreBlocks and sumBlocks.
const blockRows = 8

// blockStep adds the outer product of a block's rows of the left side and 32 columns of the right side to the sums.
func blockStep(acc []VecVirtual, left func(row int) Mem, right Mem) {
	b := [2]VecVirtual{ZMM(), ZMM()}
	for h, v := range b {
		VMOVUPS(right.Offset(wideVector*h), v)
	}
	for r := range blockRows {
		a := ZMM()
		VBROADCASTSS(left(r), a)
		VFMADD231PS(b[0], a, acc[2*r])
		VFMADD231PS(b[1], a, acc[2*r+1])
	}
}

// scoreBlocks writes the kernel of panelScores: a block's sums are in registers, and the columns' maxima are taken from there.
func scoreBlocks() {
	TEXT("scoreBlocksAVX512", attr.NOSPLIT, "func(scores *float32, largest *float32, keys *float32, d int, panel *float32, blocks int, depth int, add bool, ahead *float32, aheadStep int)")
	Doc(fmt.Sprintf("scoreBlocksAVX512 is panelScores for blocks of %d keys, blocks and depth ≥ 1. With each element of depth it asks for the line of memory ahead, which it then moves by aheadStep bytes.", blockRows))
	Pragma("noescape")

	scores, largest, keys, panel := pointer("scores"), pointer("largest"), pointer("keys"), pointer("panel")
	blocks, d := integer("blocks"), bytesOf("d")
	ahead, aheadStep := pointer("ahead"), integer("aheadStep")
	set := newRowSet(blockRows, d)
	top := [2]VecVirtual{ZMM(), ZMM()}
	for h, v := range top {
		VMOVUPS(largest.Offset(wideVector*h), v)
	}

	Label("block")
	acc := wideZeroed(2 * blockRows)
	MOVQ(keys.Base, set.bases[0])
	set.start()
	left, right := integer("depth"), Mem{Base: GP64()}
	MOVQ(panel.Base, right.Base)
	Label("deeper")
	blockStep(acc, func(r int) Mem { return set.at(r, 0) }, right)
	PREFETCHT1(ahead)
	ADDQ(aheadStep, ahead.Base)
	set.advance(floatBytes)
	ADDQ(U32(2*wideVector), right.Base)
	DECQ(left)
	JNZ(LabelRef("deeper"))

	add := GP8()
	Load(Param("add"), add)
	TESTB(add, add)
	JZ(LabelRef("store"))
	for i, v := range acc {
		VADDPS(scores.Offset(wideVector*i), v, v)
	}
	Label("store")
	for i, v := range acc {
		VMAXPS(top[i%2], v, top[i%2]) // as in panelMax
		VMOVUPS(v, scores.Offset(wideVector*i))
	}
	ADDQ(U32(2*wideVector*blockRows), scores.Base)
	LEAQ(Mem{Base: keys.Base, Index: d, Scale: blockRows}, keys.Base)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	for h, v := range top {
		VMOVUPS(v, largest.Offset(wideVector*h))
	}
	VZEROUPPER()
	RET()
}

// sumBlocks writes the kernel of panelSum. Loads under a mask would take it 2 % more time.
func sumBlocks() {
	TEXT("sumBlocksAVX512", attr.NOSPLIT, "func(sums *float32, d int, weights *float32, keys *float32, blocks int, rows int)")
	Doc(fmt.Sprintf("sumBlocksAVX512 is panelSum for blocks of %d queries and 32 columns, blocks and rows ≥ 1.", blockRows))
	Pragma("noescape")

	sums, weights, keys := pointer("sums"), pointer("weights"), pointer("keys")
	d, blocks := bytesOf("d"), integer("blocks")
	set := newRowSet(blockRows, d)

	Label("block")
	acc := wideZeroed(2 * blockRows)
	rows, left, right := integer("rows"), Mem{Base: GP64()}, Mem{Base: GP64()}
	MOVQ(weights.Base, left.Base)
	MOVQ(keys.Base, right.Base)
	Label("deeper")
	blockStep(acc, func(r int) Mem { return left.Offset(floatBytes * r) }, right)
	ADDQ(U32(2*wideVector), left.Base)
	ADDQ(d, right.Base)
	DECQ(rows)
	JNZ(LabelRef("deeper"))

	MOVQ(sums.Base, set.bases[0])
	set.start()
	for i, v := range acc {
		to := set.at(i/2, wideVector*(i%2))
		VADDPS(to, v, v)
		VMOVUPS(v, to)
	}
	LEAQ(Mem{Base: sums.Base, Index: d, Scale: blockRows}, sums.Base)
	ADDQ(U32(floatBytes*blockRows), weights.Base)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// wideExp is expConstants with one word a number.
type wideExp struct {
	mem   Mem
	count int
}

func newWideExp(name string) *wideExp {
	const high = 0.693359375
	w := &wideExp{mem: GLOBL(name, attr.RODATA|attr.NOPTR)}
	for _, v := range []float64{-104, 89, math.Log2E, high, math.Ln2 - high, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040} {
		DATA(4*w.count, U32(math.Float32bits(float32(v))))
		w.count++
	}
	return w
}

// load puts the numbers in registers. The last step, one multiplication by 2ⁿ, rounds once, as the two halves of expConstants.of do.
func (w *wideExp) load() func(v VecVirtual) VecVirtual {
	n := make([]VecVirtual, w.count)
	for i := range n {
		n[i] = ZMM()
		VBROADCASTSS(w.mem.Offset(4*i), n[i])
	}
	low, top, log2E, ln2High, ln2Low, one, series := n[0], n[1], n[2], n[3], n[4], n[5], n[6:]
	return func(v VecVirtual) VecVirtual {
		VMAXPS(v, low, v) // the second source is returned for NaN: v
		VMINPS(v, top, v)
		k, s := ZMM(), ZMM()
		VMULPS(log2E, v, k)
		VRNDSCALEPS(U8(0), k, k)
		VFNMADD231PS(ln2High, k, v)
		VFNMADD231PS(ln2Low, k, v)
		VMOVAPS(series[len(series)-1], s)
		for i := len(series) - 2; i >= 0; i-- {
			VFMADD213PS(series[i], v, s)
		}
		VFMADD213PS(one, v, s)
		VFMADD213PS(one, v, s)
		VSCALEFPS(k, s, s)
		return s
	}
}

func (p panelPath) write() {
	for _, rows := range p.rows {
		p.tile(rows)
	}
	p.maximum()
	p.exponentials()
	p.pulls()
}

func (p panelPath) function(name, params, portable string) {
	TEXT(name+p.suffix, attr.NOSPLIT, "func("+params+")")
	Doc(fmt.Sprintf("%s%s is %s.", name, p.suffix, portable))
	Pragma("noescape")
}

func (p panelPath) zeroed(n int) []VecVirtual {
	acc := make([]VecVirtual, n)
	for i := range acc {
		acc[i] = p.vector()
		VXORPS(acc[i], acc[i], acc[i])
	}
	return acc
}

// tile writes the kernel of strideTilePortable for a number of rows and up to two registers of columns.
func (p panelPath) tile(rows int) {
	p.function(fmt.Sprintf("strideTile%d", rows), "c *float32, ldc int, a *float32, rowStep, depthStep int, b *float32, ldb int, depth, cols int, add bool",
		fmt.Sprintf("strideTilePortable for %d rows and up to %d columns", rows, 2*p.lanes))
	load, store := p.masked(integer("cols"))
	rowStep, depthStep, ldb := bytesOf("rowStep"), bytesOf("depthStep"), bytesOf("ldb")
	// Rows three by three from a base, as base + {0, 1, 2}·rowStep.
	bases := []GPVirtual{Load(Param("a"), GP64()).(GPVirtual)}
	for len(bases)*3 < rows {
		next := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: rowStep, Scale: 2}, next)
		ADDQ(rowStep, next)
		bases = append(bases, next)
	}
	b, depth := pointer("b"), integer("depth")
	acc := p.zeroed(2 * rows)
	half := 4 * p.lanes

	Label("deeper")
	right := [2]VecVirtual{p.vector(), p.vector()}
	for h, v := range right {
		load[h](b.Offset(half*h), v)
	}
	for r := range rows {
		m := Mem{Base: bases[r/3]}
		if r%3 > 0 {
			m.Index, m.Scale = rowStep, uint8(r%3)
		}
		left := p.vector()
		VBROADCASTSS(m, left)
		VFMADD231PS(right[0], left, acc[2*r])
		VFMADD231PS(right[1], left, acc[2*r+1])
	}
	for _, base := range bases {
		ADDQ(depthStep, base)
	}
	ADDQ(ldb, b.Base)
	DECQ(depth)
	JNZ(LabelRef("deeper"))

	c, ldc, add := pointer("c"), bytesOf("ldc"), GP8()
	Load(Param("add"), add)
	for r := range rows {
		for h := range 2 {
			m, v := c.Offset(half*h), acc[2*r+h]
			keep := label("keep")
			TESTB(add, add)
			JZ(LabelRef(keep))
			old := p.vector()
			load[h](m, old)
			VADDPS(old, v, v)
			Label(keep)
			store[h](v, m)
		}
		ADDQ(ldc, c.Base)
	}
	VZEROUPPER()
	RET()
}

// maximum writes the kernel of panelMaxPortable for a register of columns.
func (p panelPath) maximum() {
	p.function("panelMax", "top, x *float32, ld, rows int", fmt.Sprintf("panelMaxPortable for %d columns, rows ≥ 1", p.lanes))
	top, x, ld, rows := pointer("top"), pointer("x"), bytesOf("ld"), integer("rows")
	m := p.vector()
	VMOVUPS(top, m)
	Label("row")
	v := p.vector()
	VMOVUPS(x, v)
	VMAXPS(m, v, m) // the second source, m, is returned for NaN in v and for two zeros
	ADDQ(ld, x.Base)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VMOVUPS(m, top)
	VZEROUPPER()
	RET()
}

// exponentials writes the kernel of panelExpPortable for a register of columns.
func (p panelPath) exponentials() {
	p.function("panelExp", "x, shift, sum *float32, ld, rows int", fmt.Sprintf("panelExpPortable for %d columns, rows ≥ 1", p.lanes))
	exp := p.exp()
	x, ld, rows := pointer("x"), bytesOf("ld"), integer("rows")
	shift := p.vector()
	VMOVUPS(pointer("shift"), shift)
	sum := p.zeroed(1)[0]
	Label("row")
	v := p.vector()
	VMOVUPS(x, v)
	VSUBPS(shift, v, v)
	v = exp(v)
	VMOVUPS(v, x)
	VADDPS(v, sum, sum)
	ADDQ(ld, x.Base)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VMOVUPS(sum, pointer("sum"))
	VZEROUPPER()
	RET()
}

// pulls writes the kernel of panelPullPortable for a register of columns.
func (p panelPath) pulls() {
	p.function("panelPull", "x, column, row *float32, ld, rows int", fmt.Sprintf("panelPullPortable for %d columns, rows ≥ 1", p.lanes))
	exp := p.exp()
	x, row, ld, rows := pointer("x"), pointer("row"), bytesOf("ld"), integer("rows")
	column := p.vector()
	VMOVUPS(pointer("column"), column)
	Label("row")
	v, own, other := p.vector(), p.vector(), p.vector()
	VMOVUPS(x, v)
	VBROADCASTSS(row, other)
	VSUBPS(other, v, other)
	VSUBPS(column, v, own)
	own = exp(own)
	other = exp(other)
	VADDPS(other, own, own)
	VMOVUPS(own, x)
	ADDQ(U32(4), row.Base)
	ADDQ(ld, x.Base)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
