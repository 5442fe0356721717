package simd

// momentsPortable computes the mean and the squared distances from it of each column of a block; share is 1/rows.
func momentsPortable(mean, sqDev, x []float32, share float32, rows, cols int) {
	for c := range cols {
		sum, squares := float32(0), float32(0)
		for r := range rows {
			sum += x[r*cols+c] - x[c]
		}
		mean[c] = x[c] + float32(sum*share)
		for r := range rows {
			d := x[r*cols+c] - mean[c]
			squares += float32(d * d)
		}
		sqDev[c] = squares
	}
}

func scaleShiftReLUPortable(y, x, factor, shift []float32, rows, cols int) {
	for i := range rows * cols {
		y[i] = rectified(float32(x[i]*factor[i%cols]) + shift[i%cols])
	}
}

func scaleShiftAddReLUPortable(y, x, r, factor, shift []float32, rows, cols int) {
	for i := range rows * cols {
		y[i] = rectified((float32(x[i]*factor[i%cols]) + shift[i%cols]) + r[i])
	}
}

func affine2ReLUPortable(dst, x, y, a, b, c []float32, rows, cols int) {
	for i := range rows * cols {
		dst[i] = rectified(float32(x[i]*a[i%cols]) + (float32(y[i]*b[i%cols]) + c[i%cols]))
	}
}

func affine2MaskedPortable(dx, dy, x, factor, shift, b, c []float32, rows, cols int) {
	for i := range rows * cols {
		j := i % cols
		g := masked(dy[i], float32(x[i]*factor[j])+shift[j])
		dx[i] = float32(g*factor[j]) + (float32(x[i]*b[j]) + c[j])
	}
}

func sumDotDevPortable(sum, dot, dy, x, mean []float32, rows, cols int) {
	clear(sum)
	clear(dot)
	for i := range rows * cols {
		addDotDev(sum, dot, i%cols, dy[i], x[i]-mean[i%cols])
	}
}

func sumDotDevReLUPortable(sum, dot, dy, x, factor, shift, mean []float32, rows, cols int) {
	clear(sum)
	clear(dot)
	for i := range rows * cols {
		j := i % cols
		addDotDev(sum, dot, j, masked(dy[i], float32(x[i]*factor[j])+shift[j]), x[i]-mean[j])
	}
}

func sumDotDevMaskedPortable(dy, sum, dot, y, x, mean []float32, rows, cols int) {
	clear(sum)
	clear(dot)
	for i := range rows * cols {
		dy[i] = masked(dy[i], y[i])
		addDotDev(sum, dot, i%cols, dy[i], x[i]-mean[i%cols])
	}
}

func addDotDev(sum, dot []float32, at int, g, deviation float32) {
	sum[at] += g
	dot[at] += float32(g * deviation)
}

// rectified is max(v, 0), NaN for NaN.
func rectified(v float32) float32 {
	if v < 0 {
		return 0
	}
	return v
}

// masked is g where y is above 0, else 0.
func masked(g, y float32) float32 {
	if y > 0 {
		return g
	}
	return 0
}
