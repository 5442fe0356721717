package simd

import (
	"fmt"
	"sync"
)

// Blocking of the product. gemmDepth is part of the arithmetic (a sum is cut there); the others are speed only.
const (
	gemmDepth  = 256     // inner elements a block: a 16-column panel of B is 16 KB and stays in the first-level cache
	gemmRows   = 128     // rows of A a unit: 128 KB of A stay in the second-level cache beside the panels
	gemmCols   = 512     // columns of B packed at a time, if there is no room for more
	gemmPacked = 1 << 20 // elements of B packed at a time
	gemmUnits  = 8       // units of work aimed at
	gemmSmall  = 1 << 20 // multiply-adds below which a product is not worth a second thread
)

// Gemm computes C = alpha·op(A)·op(B) + beta·C, where op(A) is (m, k), op(B) is (k, n), C is (m, n) and op transposes where the flag is
// set: with transA, a holds (k, m); with transB, b holds (n, k). lda, ldb and ldc are leading dimensions of the matrices as stored.
// beta = 0 never reads C. The inner sum is cut in runs of 256 elements: each run is one chain of multiply-adds in order, and the runs are added to
// C in order. alpha multiplies the elements of B beforehand.
func Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gemmOne(true, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// gemmOne is Gemm, whose work is divided over the threads or not.
func gemmOne(divide, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("simd: Gemm: negative size m=%d n=%d k=%d", m, n, k))
	}
	if m == 0 || n == 0 {
		return
	}
	wantStored("c", c, m, n, ldc)
	scaleC(c, m, n, ldc, beta)
	if k == 0 || alpha == 0 {
		if beta == 0 {
			zeroC(c, m, n, ldc)
		}
		return
	}
	wantStored("a", a, pick(transA, k, m), pick(transA, m, k), lda)
	wantStored("b", b, pick(transB, n, k), pick(transB, k, n), ldb)
	g := gemms.Get().(*gemm)
	g.divide, g.transA, g.transB, g.m, g.n, g.alpha = divide, transA, transB, m, n, alpha
	g.a, g.lda, g.b, g.ldb, g.c, g.ldc = a, lda, b, ldb, c, ldc
	depth := min(k, gemmPacked/gemmCols)
	cols := max(gemmCols, gemmPacked/depth&^(gemmCols-1))
	for col := 0; col < n; col += cols {
		g.col, g.cols = col, min(cols, n-col)
		for p := 0; p < k; p += depth {
			g.p, g.depth = p, min(depth, k-p)
			g.add = beta != 0 || p > 0
			g.block()
		}
	}
	g.a, g.b, g.c = nil, nil, nil
	gemms.Put(g)
}

func pick(first bool, x, y int) int {
	if first {
		return x
	}
	return y
}

func wantStored(name string, s []float32, rows, cols, ld int) {
	if ld < cols {
		panic(fmt.Sprintf("simd: Gemm: leading dimension of %s is %d, a row has %d elements", name, ld, cols))
	}
	if need := (rows-1)*ld + cols; len(s) < need {
		panic(fmt.Sprintf("simd: Gemm: %s has %d elements, %d rows of %d with leading dimension %d need %d", name, len(s), rows, cols, ld, need))
	}
}

func scaleC(c []float32, m, n, ldc int, beta float32) {
	if beta == 0 || beta == 1 {
		return
	}
	for i := range m {
		scale(c[i*ldc:i*ldc+n], beta)
	}
}

func zeroC(c []float32, m, n, ldc int) {
	for i := range m {
		clear(c[i*ldc : i*ldc+n])
	}
}

// A gemm is one product in progress. It is pooled, with its parallel step bound once, so that a product allocates nothing.
type gemm struct {
	divide         bool // over the threads
	transA, transB bool
	m, n           int
	alpha          float32
	a, b, c        []float32
	lda, ldb, ldc  int

	col, cols int // the columns of C now being computed
	p, depth  int // the inner elements now being summed, of several blocks
	add       bool
	packed    scratch // for each block of the inner sum, panels of B, 16 columns each: (depth, 16)

	rowUnits, colUnits, packUnits int
	packing                       sync.WaitGroup

	step func(int)
}

var gemms = sync.Pool{New: func() any {
	g := new(gemm)
	g.step = g.unit
	return g
}}

func (g *gemm) panels() int { return (g.cols + tileCols - 1) / tileCols }

// tileColumns is the number of tiles side by side.
func (g *gemm) tileColumns() int { return (g.cols + rowTileWidth() - 1) / rowTileWidth() }

// block adds (or stores) the contribution of the current inner elements to the current columns.
func (g *gemm) block() {
	g.packed.floats(g.panels() * g.depth * tileCols)
	g.rowUnits, g.colUnits, g.packUnits = (g.m+gemmRows-1)/gemmRows, 1, 1
	units := g.rowUnits
	if g.divide && g.m*g.cols*g.depth > gemmSmall {
		// A unit of work is one run of rows by a run of panels: enough units for the threads, but each brings its rows together anew.
		g.colUnits = min((gemmUnits+g.rowUnits-1)/g.rowUnits, max(1, g.tileColumns()/2))
		g.packUnits = min(gemmUnits, g.panels())
		units = g.rowUnits * g.colUnits
	}
	g.packing.Add(g.packUnits)
	if units > 1 && g.packUnits > 1 {
		Parallel(g.packUnits+units, g.step)
		return
	}
	for i := range g.packUnits + units {
		g.unit(i)
	}
}

// unit packs some panels or computes some tiles. Units begin in order, so a unit of tiles waits for none that has not begun.
func (g *gemm) unit(i int) {
	if i < g.packUnits {
		defer g.packing.Done()
		g.pack(i)
		return
	}
	g.packing.Wait()
	g.tiles(i - g.packUnits)
}

func (g *gemm) pack(unit int) {
	first, last := share(unit, g.packUnits, g.panels())
	for p := 0; p < g.depth; p += gemmDepth {
		depth := min(gemmDepth, g.depth-p)
		block := g.packedBlock(p)
		for j := first; j < last; j++ {
			panel := block[j*depth*tileCols : (j+1)*depth*tileCols]
			col := g.col + j*tileCols
			packPanel(panel, g.b, g.ldb, g.transB, g.p+p, depth, col, min(tileCols, g.col+g.cols-col))
			if g.alpha != 1 {
				scale(panel, g.alpha)
			}
		}
	}
}

// packedBlock returns the panels of the block of the inner sum that begins at p.
func (g *gemm) packedBlock(p int) []float32 { return g.packed.buf[p*g.panels()*tileCols:] }

// packPanel copies rows p … p+depth and columns col … col+width of op(B) to a panel of 16 columns, the missing ones zero.
func packPanel(panel, b []float32, ldb int, trans bool, p, depth, col, width int) {
	switch {
	case trans:
		if width < tileCols {
			clear(panel[:depth*tileCols])
		}
		transpose(panel, tileCols, b[col*ldb+p:], ldb, width, depth)
	case width == tileCols:
		packRows(panel, b[p*ldb+col:], ldb, depth)
	default:
		for i := range depth {
			row := panel[i*tileCols : (i+1)*tileCols]
			at := (p+i)*ldb + col
			copy(row, b[at:at+width])
			clear(row[width:])
		}
	}
}

// wholeSum is the one tap of a product.
var wholeSum = []tap{{}}

// tiles computes the tiles of one unit: a run of rows by a run of panels, block of the inner sum by block.
func (g *gemm) tiles(unit int) {
	row, rowEnd := share(unit/g.colUnits, g.rowUnits, g.m)
	first, last := share(unit%g.colUnits, g.colUnits, g.tileColumns())
	col := first * rowTileWidth()
	cols := min(last*rowTileWidth(), g.cols) - col
	rows := rowEnd - row
	own := borrow()
	defer own.giveBack()
	for p := 0; p < g.depth; p += gemmDepth {
		depth := min(gemmDepth, g.depth-p)
		next := g.needs(row, rows, p+depth)
		a, lda := g.rowsOfA(own, row, rows, g.p+p, depth)
		rowTiles(g.c[row*g.ldc+g.col+col:], g.ldc, cols, rows, a, lda, g.packedBlock(p)[col*depth:], depth*tileCols, wholeSum, depth, g.add || p > 0, &next)
	}
}

// needs is the memory of op(A) that rows of the block of the inner sum which begins at p need.
func (g *gemm) needs(row, rows, p int) ahead {
	depth := min(gemmDepth, g.depth-p)
	if depth <= 0 {
		return ahead{}
	}
	if g.transA {
		return ahead{[2]run{{g.a[(g.p+p)*g.lda+row:], rows, g.lda, depth}}}
	}
	return ahead{[2]run{{g.a[row*g.lda+g.p+p:], depth, g.lda, rows}}}
}

// rowsOfA returns rows of op(A) and the distance between them: where they lie, or brought together.
func (g *gemm) rowsOfA(own *scratch, row, rows, p, depth int) (a []float32, lda int) {
	switch {
	case g.transA:
		a = own.floats(rows * depth)
		transpose(a, depth, g.a[p*g.lda+row:], g.lda, depth, rows)
		return a, depth
	case g.lda%512 == 0 && rows > tileRows:
		// Rows a multiple of 2 KB apart fall into few cache sets.
		a = own.floats(rows * depth)
		for i := range rows {
			copy(a[i*depth:(i+1)*depth], g.a[(row+i)*g.lda+p:])
		}
		return a, depth
	}
	return g.a[row*g.lda+p:], g.lda
}
