package simd

func addTo(dst, x []float32) {
	if !vectorised {
		addToPortable(dst, x)
		return
	}
	addToAVX2(at(dst), at(x), len(x))
}

func mulBy(dst, x []float32) {
	if !vectorised {
		mulByPortable(dst, x)
		return
	}
	mulByAVX2(at(dst), at(x), len(x))
}

func axpy(dst []float32, a float32, x []float32) {
	if !vectorised {
		axpyPortable(dst, a, x)
		return
	}
	axpyAVX2(at(dst), a, at(x), len(x))
}

func scale(dst []float32, a float32) {
	if !vectorised {
		scalePortable(dst, a)
		return
	}
	scaleAVX2(at(dst), a, len(dst))
}

func blend(dst, x, y []float32, a, b, c float32) {
	if !vectorised {
		blendPortable(dst, x, y, a, b, c)
		return
	}
	blendAVX2(at(dst), at(x), at(y), a, b, c, len(x))
}

func dotBlock(x, y []float32) float32 {
	if !vectorised {
		return dotBlockPortable(x, y)
	}
	return dotBlockAVX2(at(x), at(y), len(x))
}

func sumBlock(x []float32) float32 {
	if !vectorised {
		return sumBlockPortable(x)
	}
	return sumBlockAVX2(at(x), len(x))
}

func maxOf(x []float32) float32 {
	if !vectorised {
		return maxOfPortable(x)
	}
	return maxOfAVX2(at(x), len(x))
}

func relu(y, x []float32) {
	if !vectorised {
		reluPortable(y, x)
		return
	}
	reluAVX2(at(y), at(x), len(x))
}

func reluBackward(dx, dy, y []float32) {
	if !vectorised {
		reluBackwardPortable(dx, dy, y)
		return
	}
	reluBackwardAVX2(at(dx), at(dy), at(y), len(dy))
}

func expBlock(dst, x []float32, shift float32) float32 {
	if !vectorised {
		return expBlockPortable(dst, x, shift)
	}
	return expBlockAVX2(at(dst), at(x), len(x), shift)
}
