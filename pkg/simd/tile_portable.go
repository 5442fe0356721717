package simd

// tileRows and tileCols are the shape of the block of C that one kernel call keeps in registers: six rows of two eight-float vectors
// leave four of the sixteen registers for the operands.
const (
	tileRows = 6
	tileCols = 16
)

// A tap is one stretch of the inner sum of a tile kernel: where its operands start, in elements from the start of A and of B.
type tap struct{ a, b int }

// rowTilePortable computes rows×16 values, each one chain of multiply-adds in the order of the taps and then of p:
//
//	C[r·ldc+j] (+)= Σ_t Σ_{p<depth} A[taps[t].a + r·lda + p] · B[taps[t].b + 16p + j]
//
// With add the chain is added to C once, at its end.
func rowTilePortable(rows int, c []float32, ldc int, a []float32, lda int, b []float32, taps []tap, depth int, add bool) {
	for r := range rows {
		var sum [tileCols]float32
		for _, t := range taps {
			left := a[t.a+r*lda : t.a+r*lda+depth]
			right := b[t.b : t.b+depth*tileCols]
			for p, l := range left {
				row := right[p*tileCols : p*tileCols+tileCols]
				for j := range sum {
					sum[j] += float32(l * row[j])
				}
			}
		}
		storeTileRow(c[r*ldc:r*ldc+tileCols], &sum, add)
	}
}

// pairTilePortable computes rows×16 values of a product whose left operand is stored depth-first; each is one chain in the order of the blocks
// and then of the taps:
//
//	C[i·ldc+j] (+)= Σ_{n<blocks} Σ_t A[n·aStep + taps[t].a + i] · B[n·bStep + taps[t].b + j]
func pairTilePortable(rows int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool) {
	var sum [tileRows][tileCols]float32
	for n := range blocks {
		for _, t := range taps {
			left := a[n*aStep+t.a : n*aStep+t.a+rows]
			right := b[n*bStep+t.b : n*bStep+t.b+tileCols]
			for i, l := range left {
				for j, r := range right {
					sum[i][j] += float32(l * r)
				}
			}
		}
	}
	for i := range rows {
		storeTileRow(c[i*ldc:i*ldc+tileCols], &sum[i], add)
	}
}

func storeTileRow(c []float32, sum *[tileCols]float32, add bool) {
	if !add {
		copy(c, sum[:])
		return
	}
	for j := range c {
		c[j] += sum[j]
	}
}

// packRowsPortable copies k rows of 16 consecutive floats, ld apart, to consecutive rows of dst.
func packRowsPortable(dst, src []float32, ld, k int) {
	for p := range k {
		copy(dst[p*tileCols:p*tileCols+tileCols], src[p*ld:])
	}
}

// packColumnsPortable copies k rows of width ≤ 6 consecutive floats, ld apart, to entries of six floats of dst, the missing ones zero.
func packColumnsPortable(dst, src []float32, ld, k, width int) {
	for p := range k {
		entry := dst[p*tileRows : (p+1)*tileRows]
		copy(entry, src[p*ld:p*ld+width])
		clear(entry[width:])
	}
}

// transposePortable writes the transpose of src (rows×cols, leading dimension lds) to dst (cols×rows, leading dimension ldd).
func transposePortable(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for i := range rows {
		for j, v := range src[i*lds : i*lds+cols] {
			dst[j*ldd+i] = v
		}
	}
}
