package simd

// The assembly walks over at least one row: empty matrices go to the portable loops, which do nothing.

func columnSumBlock(dst, x []float32, rows, cols int) {
	if !vectorised {
		columnSumBlockPortable(dst, x, rows, cols)
		return
	}
	columnSumBlockAVX2(at(dst), at(x), rows, cols)
}

func columnSqDevBlock(dst, x, mean []float32, rows, cols int) {
	if !vectorised {
		columnSqDevBlockPortable(dst, x, mean, rows, cols)
		return
	}
	columnSqDevBlockAVX2(at(dst), at(x), at(mean), rows, cols)
}

func columnDotBlock(dst, x, y []float32, rows, cols int) {
	if !vectorised {
		columnDotBlockPortable(dst, x, y, rows, cols)
		return
	}
	columnDotBlockAVX2(at(dst), at(x), at(y), rows, cols)
}

func columnDotDevBlock(dst, x, y, mean []float32, rows, cols int) {
	if !vectorised {
		columnDotDevBlockPortable(dst, x, y, mean, rows, cols)
		return
	}
	columnDotDevBlockAVX2(at(dst), at(x), at(y), at(mean), rows, cols)
}

func scaleShift(y, x, factor, shift []float32, rows, cols int) {
	if !vectorised || rows == 0 {
		scaleShiftPortable(y, x, factor, shift, rows, cols)
		return
	}
	scaleShiftAVX2(at(y), at(x), at(factor), at(shift), rows, cols)
}

func addRow(x, row []float32, rows, cols int) {
	if !vectorised || rows == 0 {
		addRowPortable(x, row, rows, cols)
		return
	}
	addRowAVX2(at(x), at(row), rows, cols)
}

func affine2(dst, x, y, a, b, c []float32, rows, cols int) {
	if !vectorised || rows == 0 {
		affine2Portable(dst, x, y, a, b, c, rows, cols)
		return
	}
	affine2AVX2(at(dst), at(x), at(y), at(a), at(b), at(c), rows, cols)
}
