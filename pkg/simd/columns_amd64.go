package simd

// Blocks have at least one row, which is what the assembly takes.

func moments(mean, sqDev, x []float32, share float32, rows, cols int) {
	if !vectorised {
		momentsPortable(mean, sqDev, x, share, rows, cols)
		return
	}
	momentsAVX2(at(mean), at(sqDev), at(x), share, rows, cols)
}

func scaleShiftReLU(y, x, factor, shift []float32, rows, cols int) {
	if !vectorised {
		scaleShiftReLUPortable(y, x, factor, shift, rows, cols)
		return
	}
	scaleShiftReLUAVX2(at(y), at(x), at(factor), at(shift), rows, cols)
}

func scaleShiftAddReLU(y, x, r, factor, shift []float32, rows, cols int) {
	if !vectorised {
		scaleShiftAddReLUPortable(y, x, r, factor, shift, rows, cols)
		return
	}
	scaleShiftAddReLUAVX2(at(y), at(x), at(r), at(factor), at(shift), rows, cols)
}

func affine2ReLU(dst, x, y, a, b, c []float32, rows, cols int) {
	if !vectorised {
		affine2ReLUPortable(dst, x, y, a, b, c, rows, cols)
		return
	}
	affine2ReLUAVX2(at(dst), at(x), at(y), at(a), at(b), at(c), rows, cols)
}

func affine2Masked(dx, dy, x, factor, shift, b, c []float32, rows, cols int) {
	if !vectorised {
		affine2MaskedPortable(dx, dy, x, factor, shift, b, c, rows, cols)
		return
	}
	affine2MaskedAVX2(at(dx), at(dy), at(x), at(factor), at(shift), at(b), at(c), rows, cols)
}

func sumDotDev(sum, dot, dy, x, mean []float32, rows, cols int) {
	if !vectorised {
		sumDotDevPortable(sum, dot, dy, x, mean, rows, cols)
		return
	}
	sumDotDevAVX2(at(sum), at(dot), at(dy), at(x), at(mean), rows, cols)
}

func sumDotDevReLU(sum, dot, dy, x, factor, shift, mean []float32, rows, cols int) {
	if !vectorised {
		sumDotDevReLUPortable(sum, dot, dy, x, factor, shift, mean, rows, cols)
		return
	}
	sumDotDevReLUAVX2(at(sum), at(dot), at(dy), at(x), at(factor), at(shift), at(mean), rows, cols)
}

func sumDotDevMasked(dy, sum, dot, y, x, mean []float32, rows, cols int) {
	if !vectorised {
		sumDotDevMaskedPortable(dy, sum, dot, y, x, mean, rows, cols)
		return
	}
	sumDotDevMaskedAVX2(at(dy), at(sum), at(dot), at(y), at(x), at(mean), rows, cols)
}
