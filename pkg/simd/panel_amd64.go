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

// blockRows is the number of rows that scoreBlocksAVX512 and sumBlocksAVX512 treat together.
const blockRows = 8

// panelScores is one run of PanelScores, elements [0, depth) of keys d apart, which raises the maxima.
func panelScores(scores, largest, keys []float32, d int, panel []float32, rows, depth int, add bool, ahead []float32) {
	done := 0
	if blocks := rows / blockRows; wide() && blocks > 0 {
		next, step := at(keys), 0
		if len(ahead) > 0 {
			next, step = at(ahead), 4*len(ahead)/(blocks*depth)
		}
		scoreBlocksAVX512(at(scores), at(largest), at(keys), d, at(panel), blocks, depth, add, next, step)
		done = blocks * blockRows
	}
	if done < rows {
		scores, keys, rows = scores[done*Panel:], keys[done*d:], rows-done
		strideTiles(rows, Panel, scores, Panel, keys, d, 1, panel, Panel, depth, add)
		panelMax(largest, scores, rows)
	}
}

// panelSum is PanelSum for up to 32 columns of keys and sums, whose rows are d apart.
func panelSum(sums, weights, keys []float32, n, rows, cols, d int) {
	done := 0
	if blocks := n / blockRows; wide() && cols == Panel && blocks > 0 {
		sumBlocksAVX512(at(sums), d, at(weights), at(keys), blocks, rows)
		done = blocks * blockRows
	}
	if done < n {
		strideTiles(n-done, cols, sums[done*d:], d, weights[done:], 1, Panel, keys, d, rows, true)
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
