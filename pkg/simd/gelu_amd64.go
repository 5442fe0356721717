package simd

func gelu(y, slope, x []float32) {
	if !vectorised {
		geluPortable(y, slope, x)
		return
	}
	geluAVX2(at(y), at(slope), at(x), len(x))
}

func geluTanh(y, slope, x []float32) {
	if !vectorised {
		geluTanhPortable(y, slope, x)
		return
	}
	geluTanhAVX2(at(y), at(slope), at(x), len(x))
}
