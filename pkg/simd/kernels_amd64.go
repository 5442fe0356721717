package simd

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// vectorised tells whether assembly kernels run, hasAVX512 whether those with 512-bit registers may. Tests turn them off to exercise the others.
var (
	vectorised = path >= 1
	hasAVX512  = path >= 2
)

// machinePath is the last of the paths that the CPU, and the operating system that saves its registers, have.
func machinePath() int {
	x := cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return 0
	case !x.HasAVX512F || !x.HasAVX512VL || !x.HasAVX512DQ || !x.HasAVX512BW || !x.HasBMI2:
		return 1
	default:
		return 2
	}
}

// wide tells whether the kernels with 512-bit registers run.
func wide() bool { return vectorised && hasAVX512 }

// The functions below choose between assembly and portable Go. Assembly does not check bounds: callers pass slices that hold what
// the portable version would touch.

func at(s []float32) *float32 { return unsafe.SliceData(s) }

// rowTileHeight is the number of rows of A, lda apart, that one tile should have. Rows that fall into one set of the first-level cache (a multiple of
// 4 KB apart) must leave some of its eight ways to B.
func rowTileHeight(lda int) int {
	if !wide() {
		return tileRows
	}
	const period, perSet = 1024, 6 // floats; rows
	sets := 1
	if apart := lda % period; apart != 0 {
		sets = period / (apart & -apart)
	}
	return min(wideRows, perSet*sets)
}

// rowTileWidth is the number of columns that a tile can have.
func rowTileWidth() int {
	if wide() {
		return wideCols
	}
	return tileCols
}

// askedInRowTile and askedInPairTile are the numbers of floats that a tile asks for ahead.
func askedInRowTile(taps, depth int) int   { return taps * (depth / 4) * cacheLine }
func askedInPairTile(taps, blocks int) int { return taps * blocks * cacheLine }

// rowTile computes rows×width values, up to the height and width above, from panels of B that lie bStep apart; see rowTilePortable for the sums. Memory ahead will be needed next:
// as much of it as the tile has time for is asked for, if the path does that.
func rowTile(rows, width int, c []float32, ldc int, a []float32, lda int, b []float32, bStep int, taps []tap, depth int, add bool, ahead []float32) {
	if wide() {
		rowTileWide(rows, width, c, ldc, a, lda, b, bStep, taps, depth, add, ahead)
		return
	}
	rowTileNarrow(rows, width, c, ldc, a, lda, b, taps, depth, add)
}

// pairTileHeight is the number of rows that a tile of pairs can have.
func pairTileHeight() int {
	if wide() {
		return widePairs
	}
	return tileRows
}

// pairTile computes rows×width values, up to the height above and 16; see pairTilePortable for the sums. Memory ahead is as with rowTile.
func pairTile(rows, width int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool, ahead []float32) {
	if wide() {
		pairTileWide(rows, width, c, ldc, a, b, taps, blocks, aStep, bStep, add, ahead)
		return
	}
	pairTileNarrow(rows, width, c, ldc, a, b, taps, blocks, aStep, bStep, add)
}

func rowTileWhole(rows int, c []float32, ldc int, a []float32, lda int, b []float32, taps []tap, depth int, add bool) {
	if !vectorised {
		rowTilePortable(rows, c, ldc, a, lda, b, taps, depth, add)
		return
	}
	list, count := (*int)(unsafe.Pointer(unsafe.SliceData(taps))), len(taps)
	switch rows {
	case 1:
		rowTile1AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	case 2:
		rowTile2AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	case 3:
		rowTile3AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	case 4:
		rowTile4AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	case 5:
		rowTile5AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	case 6:
		rowTile6AVX2(at(c), ldc, at(a), lda, at(b), list, count, depth, add)
	}
}

func pairTileWhole(rows int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool) {
	if !vectorised {
		pairTilePortable(rows, c, ldc, a, b, taps, blocks, aStep, bStep, add)
		return
	}
	list, count := (*int)(unsafe.Pointer(unsafe.SliceData(taps))), len(taps)
	switch rows {
	case 1:
		pairTile1AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	case 2:
		pairTile2AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	case 3:
		pairTile3AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	case 4:
		pairTile4AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	case 5:
		pairTile5AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	case 6:
		pairTile6AVX2(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, add)
	}
}

func packRows(dst, src []float32, ld, k int) {
	if !vectorised {
		packRowsPortable(dst, src, ld, k)
		return
	}
	packRowsAVX2(at(dst), at(src), ld, k)
}

func packColumns(dst, src []float32, ld, k, width int) {
	if !vectorised || k == 0 {
		packColumnsPortable(dst, src, ld, k, width)
		return
	}
	packColumnsAVX2(at(dst), at(src), ld, k, width)
}

// transpose does whole blocks of 8×8 in assembly, the strips beside them in Go.
func transpose(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	wholeRows, wholeCols := rows&^7, cols&^7
	if !vectorised || wholeRows == 0 || wholeCols == 0 {
		transposePortable(dst, ldd, src, lds, rows, cols)
		return
	}
	transposeAVX2(at(dst), ldd, at(src), lds, wholeRows, wholeCols)
	if wholeCols < cols {
		transposePortable(dst[wholeCols*ldd:], ldd, src[wholeCols:], lds, wholeRows, cols-wholeCols)
	}
	if wholeRows < rows {
		transposePortable(dst[wholeRows:], ldd, src[wholeRows*lds:], lds, rows-wholeRows, cols)
	}
}
