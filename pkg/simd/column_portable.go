package simd

func columnSumBlockPortable(dst, x []float32, rows, cols int) {
	for c := range cols {
		sum := float32(0)
		for r := range rows {
			sum += x[r*cols+c]
		}
		dst[c] += sum
	}
}

func columnSqDevBlockPortable(dst, x, mean []float32, rows, cols int) {
	for c := range cols {
		sum := float32(0)
		for r := range rows {
			d := x[r*cols+c] - mean[c]
			sum += float32(d * d)
		}
		dst[c] += sum
	}
}

func columnDotBlockPortable(dst, x, y []float32, rows, cols int) {
	for c := range cols {
		sum := float32(0)
		for r := range rows {
			sum += float32(x[r*cols+c] * y[r*cols+c])
		}
		dst[c] += sum
	}
}

func columnDotDevBlockPortable(dst, x, y, mean []float32, rows, cols int) {
	for c := range cols {
		sum := float32(0)
		for r := range rows {
			sum += float32(x[r*cols+c] * (y[r*cols+c] - mean[c]))
		}
		dst[c] += sum
	}
}

func scaleShiftPortable(y, x, factor, shift []float32, rows, cols int) {
	for r := range rows {
		for c := range cols {
			y[r*cols+c] = float32(x[r*cols+c]*factor[c]) + shift[c]
		}
	}
}

func addRowPortable(x, row []float32, rows, cols int) {
	for r := range rows {
		for c, v := range row {
			x[r*cols+c] += v
		}
	}
}

func affine2Portable(dst, x, y, a, b, c []float32, rows, cols int) {
	for r := range rows {
		for j := range cols {
			i := r*cols + j
			dst[i] = float32(x[i]*a[j]) + (float32(y[i]*b[j]) + c[j])
		}
	}
}
