package simd

// strideTiles is strideTilePortable in tiles, for cols up to 32.
func strideTiles(rows, cols int, c []float32, ldc int, a []float32, rowStep, depthStep int, b []float32, ldb, depth int, add bool) {
	switch {
	case !vectorised:
		strideTilePortable(rows, cols, c, ldc, a, rowStep, depthStep, b, ldb, depth, add)
	case wide():
		r := 0
		for ; r+8 <= rows; r += 8 {
			strideTile8AVX512(at(c[r*ldc:]), ldc, at(a[r*rowStep:]), rowStep, depthStep, at(b), ldb, depth, cols, add)
		}
		for ; r < rows; r++ {
			strideTile1AVX512(at(c[r*ldc:]), ldc, at(a[r*rowStep:]), rowStep, depthStep, at(b), ldb, depth, cols, add)
		}
	default:
		for col := 0; col < cols; col += 16 {
			width := min(16, cols-col)
			r := 0
			for ; r+4 <= rows; r += 4 {
				strideTile4AVX2(at(c[r*ldc+col:]), ldc, at(a[r*rowStep:]), rowStep, depthStep, at(b[col:]), ldb, depth, width, add)
			}
			for ; r < rows; r++ {
				strideTile1AVX2(at(c[r*ldc+col:]), ldc, at(a[r*rowStep:]), rowStep, depthStep, at(b[col:]), ldb, depth, width, add)
			}
		}
	}
}

// panelStep is the number of columns that a kernel treats at a time.
func panelStep() int {
	if wide() {
		return 16
	}
	return 8
}

func panelMax(top, x []float32, rows int) {
	if !vectorised {
		panelMaxPortable(top, x, rows)
		return
	}
	for c := 0; c < Panel; c += panelStep() {
		if wide() {
			panelMaxAVX512(at(top[c:]), at(x[c:]), Panel, rows)
		} else {
			panelMaxAVX2(at(top[c:]), at(x[c:]), Panel, rows)
		}
	}
}

func panelExp(x, shift, sums []float32, rows int) {
	if !vectorised {
		panelExpPortable(x, shift, sums, rows)
		return
	}
	for c := 0; c < Panel; c += panelStep() {
		if wide() {
			panelExpAVX512(at(x[c:]), at(shift[c:]), at(sums[c:]), Panel, rows)
		} else {
			panelExpAVX2(at(x[c:]), at(shift[c:]), at(sums[c:]), Panel, rows)
		}
	}
}

func panelPull(x, column, row []float32, rows int) {
	if !vectorised {
		panelPullPortable(x, column, row, rows)
		return
	}
	for c := 0; c < Panel; c += panelStep() {
		if wide() {
			panelPullAVX512(at(x[c:]), at(column[c:]), at(row), Panel, rows)
		} else {
			panelPullAVX2(at(x[c:]), at(column[c:]), at(row), Panel, rows)
		}
	}
}
