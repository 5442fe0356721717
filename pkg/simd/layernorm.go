package simd

// LayerNorm normalises each row of x (rows, cols) by its mean and biased variance: y = (x − mean)·invStd·gamma + beta. It keeps mean (rows) and
// invStd (rows), 1/√(var + eps), for [LayerNormBackward] (Ba, Kiros and Hinton, "Layer normalization", 2016).
func LayerNorm(y, mean, invStd, x, gamma, beta []float32, rows, cols int, eps float64) {
	c := Columns{1, rows, cols}
	c.want("LayerNorm", y, x)
	c.wantRows("LayerNorm", gamma, beta)
	wantLen("LayerNorm", "mean", mean, rows)
	wantLen("LayerNorm", "invStd", invStd, rows)
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.perRow, r.eps = [2][]float32{mean, invStd}, eps
	r.run(c, 0, [4][]float32{y, x}, [4][]float32{gamma, beta}, func(b columnsBlock) {
		layerNorm(b.mats[0], b.perRow[0], b.perRow[1], b.mats[1], b.vals[0], b.vals[1], 1/float32(b.cols), b.eps, b.rows, b.cols)
	})
}

// LayerNormBackward computes the gradients of a [LayerNorm] by x, gamma and beta from dy, overwriting dx, dGamma and dBeta: with x̂ = (x −
// mean)·invStd, g = dy·gamma and means over a row, dx = invStd·(g − mean(g) − x̂·mean(g·x̂)), dGamma = Σ dy·x̂ and dBeta = Σ dy over the rows, in the
// order of [ColumnSum]. With residual, which is laid out as x, dx is that sum and residual's; nil stands for none. dx may be dy.
func LayerNormBackward(dx, dGamma, dBeta, dy, residual, x, mean, invStd, gamma []float32, rows, cols int) {
	c := Columns{1, rows, cols}
	c.want("LayerNormBackward", dx, dy, x)
	c.wantRows("LayerNormBackward", dGamma, dBeta, gamma)
	wantLen("LayerNormBackward", "mean", mean, rows)
	wantLen("LayerNormBackward", "invStd", invStd, rows)
	kernel := func(b columnsBlock) {
		b.clearSums()
		layerNormBackward(b.mats[0], b.sums[0], b.sums[1], b.mats[1], b.mats[2], b.perRow[0], b.perRow[1], b.vals[0], -1/float32(b.cols), b.rows, b.cols)
	}
	if residual != nil {
		c.want("LayerNormBackward", residual)
		kernel = func(b columnsBlock) {
			b.clearSums()
			layerNormBackwardAdd(b.mats[0], b.sums[0], b.sums[1], b.mats[1], b.mats[3], b.mats[2], b.perRow[0], b.perRow[1], b.vals[0], -1/float32(b.cols), b.rows, b.cols)
		}
	}
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.perRow = [2][]float32{mean, invStd}
	r.run(c, 2, [4][]float32{dx, dy, x, residual}, [4][]float32{gamma}, kernel)
	r.addBlocks(dGamma, 0)
	r.addBlocks(dBeta, 1)
}
