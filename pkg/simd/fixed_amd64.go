package simd

import "unsafe"

func maxMagnitude(x []float32) uint32 {
	if !vectorised {
		return maxMagnitudePortable(x)
	}
	return maxMagnitudeAVX2(at(x), len(x))
}

func encodeFixed(q []int32, x []float32, half, rest float32) {
	if !vectorised {
		encodeFixedPortable(q, x, half, rest)
		return
	}
	encodeFixedAVX2(unsafe.SliceData(q), at(x), half, rest, len(x))
}

func addFixed(q []int32, x []float32, half, rest float32) {
	if !vectorised {
		addFixedPortable(q, x, half, rest)
		return
	}
	addFixedAVX2(unsafe.SliceData(q), at(x), half, rest, len(x))
}

func decodeFixed(x []float32, q []int32, unit float64) {
	if !vectorised {
		decodeFixedPortable(x, q, unit)
		return
	}
	decodeFixedAVX2(at(x), unsafe.SliceData(q), unit, len(x))
}
