package simd

import "math"

// LayerNorm normalises each row of x (rows, cols): xhat = (x − mean)/√(var + eps) with the row's mean and biased variance, y = xhat·gamma + beta,
// and invStd (rows) is 1/√(var + eps) (Ba, Kiros and Hinton, "Layer normalization", 2016). xhat may be x. Sums are in the order of [Sum]
// and [Dot].
func LayerNorm(y, xhat, invStd, x, gamma, beta []float32, rows, cols int, eps float64) {
	wantMatrix("LayerNorm", "y", y, rows, cols)
	wantMatrix("LayerNorm", "xhat", xhat, rows, cols)
	wantMatrix("LayerNorm", "x", x, rows, cols)
	wantLen("LayerNorm", "invStd", invStd, rows)
	wantLen("LayerNorm", "gamma", gamma, cols)
	wantLen("LayerNorm", "beta", beta, cols)
	for r := range rows {
		row, deviation := x[r*cols:(r+1)*cols], xhat[r*cols:(r+1)*cols]
		mean := Sum(row) / float32(cols)
		blend(deviation, row, row, 1, 0, -mean)
		variance := float64(Dot(deviation, deviation)) / float64(cols)
		invStd[r] = float32(1 / math.Sqrt(variance+eps))
		scale(deviation, invStd[r])
	}
	ScaleShift(y, xhat, gamma, beta, rows, cols)
}

// LayerNormBackward computes dx, the gradient with respect to x, from dy and what [LayerNorm] left, overwriting dx: with g = dy·gamma and means
// over the row, dx = invStd·(g − mean(g) − xhat·mean(g·xhat)). dx may be dy. The gradients of gamma and beta are ColumnDot(dy, xhat) and
// ColumnSum(dy).
func LayerNormBackward(dx, dy, xhat, invStd, gamma []float32, rows, cols int) {
	wantMatrix("LayerNormBackward", "dx", dx, rows, cols)
	wantMatrix("LayerNormBackward", "dy", dy, rows, cols)
	wantMatrix("LayerNormBackward", "xhat", xhat, rows, cols)
	wantLen("LayerNormBackward", "invStd", invStd, rows)
	wantLen("LayerNormBackward", "gamma", gamma, cols)
	for r := range rows {
		g, row := dx[r*cols:(r+1)*cols], xhat[r*cols:(r+1)*cols]
		copy(g, dy[r*cols:(r+1)*cols])
		mulBy(g, gamma[:cols])
		inv := invStd[r]
		blend(g, g, row, inv, -float32(inv*Dot(g, row))/float32(cols), -float32(inv*Sum(g))/float32(cols))
	}
}
