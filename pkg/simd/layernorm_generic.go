//go:build !amd64

package simd

func layerNorm(y, mean, invStd, x, gamma, beta []float32, share float32, eps float64, rows, cols int) {
	layerNormPortable(y, mean, invStd, x, gamma, beta, share, eps, rows, cols)
}

func layerNormBackward(dx, dGamma, dBeta, dy, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	layerNormBackwardPortable(dx, dGamma, dBeta, dy, x, mean, invStd, gamma, share, rows, cols)
}

func layerNormBackwardAdd(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	layerNormBackwardAddPortable(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma, share, rows, cols)
}
