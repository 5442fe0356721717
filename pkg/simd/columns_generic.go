//go:build !amd64

package simd

func moments(mean, sqDev, x []float32, share float32, rows, cols int) {
	momentsPortable(mean, sqDev, x, share, rows, cols)
}

func scaleShiftReLU(y, x, factor, shift []float32, rows, cols int) {
	scaleShiftReLUPortable(y, x, factor, shift, rows, cols)
}

func scaleShiftAddReLU(y, x, r, factor, shift []float32, rows, cols int) {
	scaleShiftAddReLUPortable(y, x, r, factor, shift, rows, cols)
}

func affine2ReLU(dst, x, y, a, b, c []float32, rows, cols int) {
	affine2ReLUPortable(dst, x, y, a, b, c, rows, cols)
}

func affine2Masked(dx, dy, x, factor, shift, b, c []float32, rows, cols int) {
	affine2MaskedPortable(dx, dy, x, factor, shift, b, c, rows, cols)
}

func sumDotDev(sum, dot, dy, x, mean []float32, rows, cols int) {
	sumDotDevPortable(sum, dot, dy, x, mean, rows, cols)
}

func sumDotDevReLU(sum, dot, dy, x, factor, shift, mean []float32, rows, cols int) {
	sumDotDevReLUPortable(sum, dot, dy, x, factor, shift, mean, rows, cols)
}

func sumDotDevMasked(dy, sum, dot, y, x, mean []float32, rows, cols int) {
	sumDotDevMaskedPortable(dy, sum, dot, y, x, mean, rows, cols)
}
