package simd

func mix(dst, x, y []float32, a, b float32) {
	if !vectorised {
		mixPortable(dst, x, y, a, b)
		return
	}
	mixAVX2(at(dst), at(x), at(y), a, b, len(x))
}

func adjust(dst, x []float32, mean, contrast, brightness float32) {
	if !vectorised {
		adjustPortable(dst, x, mean, contrast, brightness)
		return
	}
	adjustAVX2(at(dst), at(x), mean, contrast, brightness, len(x))
}

func standardize(dst, x []float32, mean, std *[StandardRun]float32) {
	if !vectorised {
		standardizePortable(dst, x, mean, std)
		return
	}
	standardizeAVX2(at(dst), at(x), &mean[0], &std[0], len(x))
}

func power(dst, x []float32, y float64, t *PowerTables) {
	if !vectorised {
		powerPortable(dst, x, y, t)
		return
	}
	powerAVX2(at(dst), at(x), y, &t.Inverse[0], &t.Log2[0], &t.Exp2[0], len(x))
}
