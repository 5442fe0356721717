package simd

import "unsafe"

// sixteen is how many elements the kernels take at once; what is left is done one by one.
const sixteen = 16

func encodeFixed16(q []int16, x []float32, scale float32, d Draws) {
	if n := len(x) &^ (sixteen - 1); vectorised && n > 0 {
		encodeFixed16AVX2(unsafe.SliceData(q), at(x), scale, d.A, d.B, d.First, n)
		q, x = q[n:], x[n:]
		d.First += uint32(n)
	}
	encodeFixed16Portable(q, x, scale, d)
}

func addFixed16(q []int16, x []float32, scale float32, d Draws) {
	if n := len(x) &^ (sixteen - 1); vectorised && n > 0 {
		addFixed16AVX2(unsafe.SliceData(q), at(x), scale, d.A, d.B, d.First, n)
		q, x = q[n:], x[n:]
		d.First += uint32(n)
	}
	addFixed16Portable(q, x, scale, d)
}

func decodeFixed16(x []float32, q []int16, unit float32) {
	if n := len(x) &^ (sixteen - 1); vectorised && n > 0 {
		decodeFixed16AVX2(at(x), unsafe.SliceData(q), unit, n)
		x, q = x[n:], q[n:]
	}
	decodeFixed16Portable(x, q, unit)
}
