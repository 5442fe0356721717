package simd

import "math"

// layerNormPortable normalises rows; share is 1/cols.
func layerNormPortable(y, mean, invStd, x, gamma, beta []float32, share float32, eps float64, rows, cols int) {
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		m := float32(sumBlockPortable(row) * share)
		var lanes [32]float32
		for i, v := range row {
			d := v - m
			lanes[i%32] += float32(d * d)
		}
		inv := float32(1 / math.Sqrt(float64(float32(sumLanes(&lanes)*share))+eps))
		for i, v := range row {
			y[r*cols+i] = float32(float32((v-m)*inv)*gamma[i]) + beta[i]
		}
		mean[r], invStd[r] = m, inv
	}
}

// layerNormBackwardPortable adds the rows' gradients by gamma and beta to dGamma and dBeta; share is −1/cols.
func layerNormBackwardPortable(dx, dGamma, dBeta, dy, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	layerNormBackwardRows(dx, dGamma, dBeta, dy, nil, x, mean, invStd, gamma, share, rows, cols)
}

// layerNormBackwardAddPortable is layerNormBackwardPortable that adds r to dx.
func layerNormBackwardAddPortable(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	layerNormBackwardRows(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma, share, rows, cols)
}

func layerNormBackwardRows(dx, dGamma, dBeta, dy, residual, x, mean, invStd, gamma []float32, share float32, rows, cols int) {
	for r := range rows {
		var sum, dot float32
		for c := range cols {
			hat, d := (x[r*cols+c]-mean[r])*invStd[r], dy[r*cols+c]
			dGamma[c] += float32(d * hat)
			dBeta[c] += d
			g := float32(d * gamma[c])
			sum += g
			dot += float32(g * hat)
		}
		factor := invStd[r] * share
		sum, dot = float32(sum*factor), float32(dot*factor)
		for c := range cols {
			i := r*cols + c
			hat, g := (x[i]-mean[r])*invStd[r], float32(dy[i]*gamma[c])
			v := float32(g*invStd[r]) + (float32(hat*dot) + sum)
			if residual != nil {
				v += residual[i]
			}
			dx[i] = v
		}
	}
}
