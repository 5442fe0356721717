//go:build !amd64

package simd

func encodeFixed16(q []int16, x []float32, scale float32, d Draws) {
	encodeFixed16Portable(q, x, scale, d)
}

func addFixed16(q []int16, x []float32, scale float32, d Draws) { addFixed16Portable(q, x, scale, d) }

func decodeFixed16(x []float32, q []int16, unit float32) { decodeFixed16Portable(x, q, unit) }
