package simd

import "unsafe"

// The largest tiles of 512-bit registers: 14 rows of two take 28 of the 32, and 16 of pairs have a register on both sides.
const (
	wideRows  = 14
	wideCols  = 2 * tileCols
	widePairs = 16
)

// cacheLine is the number of floats in a line of the caches.
const cacheLine = 16

// rowTileWide computes rows ≤ wideRows by width ≤ wideCols values, from one panel of B or from two that lie bStep apart.
func rowTileWide(rows, width int, c []float32, ldc int, a []float32, lda int, b []float32, bStep int, taps []tap, depth int, add bool, ahead []float32) {
	list, count, mask := (*int)(unsafe.Pointer(unsafe.SliceData(taps))), len(taps), uint64(1)<<width-1
	next, end := at(a), at(a)
	if len(ahead) > 0 {
		next, end = &ahead[0], &ahead[len(ahead)-1]
	}
	if width > tileCols {
		switch rows {
		case 1:
			rowTile1x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 2:
			rowTile2x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 3:
			rowTile3x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 4:
			rowTile4x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 5:
			rowTile5x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 6:
			rowTile6x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 7:
			rowTile7x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 8:
			rowTile8x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 9:
			rowTile9x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 10:
			rowTile10x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 11:
			rowTile11x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 12:
			rowTile12x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 13:
			rowTile13x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		case 14:
			rowTile14x2AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
		}
		return
	}
	switch rows {
	case 1:
		rowTile1x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 2:
		rowTile2x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 3:
		rowTile3x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 4:
		rowTile4x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 5:
		rowTile5x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 6:
		rowTile6x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 7:
		rowTile7x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 8:
		rowTile8x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 9:
		rowTile9x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 10:
		rowTile10x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 11:
		rowTile11x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 12:
		rowTile12x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 13:
		rowTile13x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	case 14:
		rowTile14x1AVX512(at(c), ldc, at(a), lda, at(b), bStep, list, count, depth, mask, add, next, end)
	}
}

// pairTileWide computes rows ≤ widePairs by width ≤ 16 values.
func pairTileWide(rows, width int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool, ahead []float32) {
	list, count, mask := (*int)(unsafe.Pointer(unsafe.SliceData(taps))), len(taps), uint64(1)<<width-1
	next, end := at(a), at(a)
	if len(ahead) > 0 {
		next, end = &ahead[0], &ahead[len(ahead)-1]
	}
	switch rows {
	case 1:
		pairTile1AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 2:
		pairTile2AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 3:
		pairTile3AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 4:
		pairTile4AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 5:
		pairTile5AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 6:
		pairTile6AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 7:
		pairTile7AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 8:
		pairTile8AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 9:
		pairTile9AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 10:
		pairTile10AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 11:
		pairTile11AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 12:
		pairTile12AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 13:
		pairTile13AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 14:
		pairTile14AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 15:
		pairTile15AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	case 16:
		pairTile16AVX512(at(c), ldc, at(a), at(b), list, count, blocks, aStep, bStep, mask, add, next, end)
	}
}
