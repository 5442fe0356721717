package simd

import "unsafe"

// The assembly treats whole vectors of channels; those beside them are treated in Go.

func poolMaxWindow(y []float32, which []uint8, x []float32, pixels []tap) {
	whole := len(y) &^ 7
	if !vectorised || whole == 0 || len(pixels) == 0 {
		poolMaxWindowPortable(y, which, x, pixels)
		return
	}
	poolMaxWindowAVX2(at(y), unsafe.SliceData(which), at(x), (*int)(unsafe.Pointer(unsafe.SliceData(pixels))), len(pixels), whole)
	if whole < len(y) {
		poolMaxWindowPortable(y[whole:], which[whole:], x[whole:], pixels)
	}
}

func poolMaxScatter(dx, dy []float32, which []uint8, tap uint8) {
	whole := len(dx) &^ 7
	if !vectorised || whole == 0 {
		poolMaxScatterPortable(dx, dy, which, tap)
		return
	}
	poolMaxScatterAVX2(at(dx), at(dy), unsafe.SliceData(which), int(tap), whole)
	poolMaxScatterPortable(dx[whole:], dy[whole:], which[whole:], tap)
}
