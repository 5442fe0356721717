//go:build !amd64

package simd

func mix(dst, x, y []float32, a, b float32) { mixPortable(dst, x, y, a, b) }

func adjust(dst, x []float32, mean, contrast, brightness float32) {
	adjustPortable(dst, x, mean, contrast, brightness)
}

func standardize(dst, x []float32, mean, std *[StandardRun]float32) {
	standardizePortable(dst, x, mean, std)
}

func power(dst, x []float32, y float64, t *PowerTables) { powerPortable(dst, x, y, t) }
