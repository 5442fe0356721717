package simd

import (
	"fmt"
	"sync"
)

// Blocking of the product. gemmDepth is part of the arithmetic (a sum is cut there); the others are speed only.
const (
	gemmDepth = 256     // inner elements a block: a 16-column panel of B is 16 KB and stays in the first-level cache
	gemmRows  = 96      // rows of A a unit: 96 KB of A stay in the second-level cache beside the panels
	gemmCols  = 512     // columns of B packed at a time
	gemmUnits = 8       // units of work aimed at
	gemmSmall = 1 << 21 // multiply-adds below which a product is not worth a second thread
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
	for col := 0; col < n; col += gemmCols {
		g.col, g.cols = col, min(gemmCols, n-col)
		for p := 0; p < k; p += gemmDepth {
			g.p, g.depth = p, min(gemmDepth, k-p)
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

// A gemm is one product in progress. It is pooled, with its two parallel steps bound once, so that a product allocates nothing.
type gemm struct {
	divide         bool // over the threads
	transA, transB bool
	m, n           int
	alpha          float32
	a, b, c        []float32
	lda, ldb, ldc  int

	col, cols int // the columns of C now being computed
	p, depth  int // the inner elements now being summed
	add       bool
	packed    scratch // panels of B, 16 columns each: (depth, 16)
	panels    int     // panels a unit of work covers
	colUnits  int

	packStep, tileStep func(int)
}

var gemms = sync.Pool{New: func() any {
	g := new(gemm)
	g.packStep, g.tileStep = g.pack, g.tiles
	return g
}}

// block adds (or stores) the contribution of the current inner elements to the current columns.
func (g *gemm) block() {
	panels := (g.cols + tileCols - 1) / tileCols
	rowUnits := (g.m + gemmRows - 1) / gemmRows
	g.packed.floats(panels * g.depth * tileCols)
	// A unit of work is one run of rows by a run of panels: enough units for the threads, but each brings its rows together anew.
	g.panels = panels
	if g.divide && g.m*g.cols*g.depth > gemmSmall {
		split := min((gemmUnits+rowUnits-1)/rowUnits, max(1, panels/4))
		g.panels = (panels + split - 1) / split
	}
	g.colUnits = (panels + g.panels - 1) / g.panels
	units := rowUnits * g.colUnits
	if g.divide && units > 1 {
		Parallel(g.colUnits, g.packStep)
		Parallel(units, g.tileStep)
		return
	}
	g.pack(0)
	for i := range units {
		g.tiles(i)
	}
}

// pack packs the panels of one column unit.
func (g *gemm) pack(unit int) {
	first := unit * g.panels
	last := min(first+g.panels, (g.cols+tileCols-1)/tileCols)
	for j := first; j < last; j++ {
		size := g.depth * tileCols
		panel := g.packed.buf[j*size : (j+1)*size]
		col := g.col + j*tileCols
		packPanel(panel, g.b, g.ldb, g.transB, g.p, g.depth, col, min(tileCols, g.col+g.cols-col))
		if g.alpha != 1 {
			scale(panel, g.alpha)
		}
	}
}

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

// tiles computes the tiles of one unit: a run of rows by a run of panels.
func (g *gemm) tiles(unit int) {
	row := unit / g.colUnits * gemmRows
	rows := min(gemmRows, g.m-row)
	first := unit % g.colUnits * g.panels
	last := min(first+g.panels, (g.cols+tileCols-1)/tileCols)

	own := borrow()
	defer own.giveBack()
	a, lda := g.a, g.lda
	switch {
	case g.transA:
		a, lda = own.floats(rows*g.depth), g.depth
		transpose(a, lda, g.a[g.p*g.lda+row:], g.lda, g.depth, rows)
	case g.lda%512 == 0 && rows > tileRows:
		// Rows a multiple of 2 KB apart fall into few cache sets: bring them together.
		a, lda = own.floats(rows*g.depth), g.depth
		for i := range rows {
			copy(a[i*lda:(i+1)*lda], g.a[(row+i)*g.lda+g.p:])
		}
	default:
		a = a[row*lda+g.p:]
	}
	whole := [1]tap{}
	for j := first; j < last; j++ {
		size := g.depth * tileCols
		col := g.col + j*tileCols
		rowTiles(g.c[row*g.ldc+col:], g.ldc, min(tileCols, g.n-col), rows, a, lda, g.packed.buf[j*size:(j+1)*size], whole[:], g.depth, g.add)
	}
}

// rowTiles computes rows×width values of C (width ≤ 16) by tiles of nearly equal height; see rowTilePortable for the sums.
func rowTiles(c []float32, ldc, width, rows int, a []float32, lda int, b []float32, taps []tap, depth int, add bool) {
	tiles := (rows + tileRows - 1) / tileRows
	for t := range tiles {
		r := t * rows / tiles
		h := (t+1)*rows/tiles - r
		if width == tileCols {
			rowTile(h, c[r*ldc:], ldc, a[r*lda:], lda, b, taps, depth, add)
			continue
		}
		var edge [tileRows * tileCols]float32
		rowTile(h, edge[:], tileCols, a[r*lda:], lda, b, taps, depth, false)
		storeEdge(c[r*ldc:], ldc, h, width, &edge, add)
	}
}

// storeEdge stores or adds the first width columns of a whole tile.
func storeEdge(c []float32, ldc, rows, width int, edge *[tileRows * tileCols]float32, add bool) {
	for i := range rows {
		to, from := c[i*ldc:i*ldc+width], edge[i*tileCols:]
		if !add {
			copy(to, from)
			continue
		}
		for j := range to {
			to[j] += from[j]
		}
	}
}
