package simd

// The assembly walks over at least one row, as blocks have, and at least one column.

func layerNorm(y, mean, invStd, x, gamma, beta []float32, share float32, eps float64, rows, cols int) {
	if !vectorised || cols == 0 {
		layerNormPortable(y, mean, invStd, x, gamma, beta, share, eps, rows, cols)
		return
	}
	layerNormAVX2(at(y), at(mean), at(invStd), at(x), at(gamma), at(beta), share, eps, rows, cols)
}

func layerNormBackward(dx, dGamma, dBeta, dy, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	if !vectorised || cols == 0 {
		layerNormBackwardPortable(dx, dGamma, dBeta, dy, x, mean, invStd, gamma, share, rows, cols)
		return
	}
	layerNormBackwardAVX2(at(dx), at(dGamma), at(dBeta), at(dy), at(x), at(mean), at(invStd), at(gamma), share, rows, cols)
}

func layerNormBackwardAdd(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	if !vectorised || cols == 0 {
		layerNormBackwardAddPortable(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma, share, rows, cols)
		return
	}
	layerNormBackwardAddAVX2(at(dx), at(dGamma), at(dBeta), at(dy), at(r), at(x), at(mean), at(invStd), at(gamma), share, rows, cols)
}
