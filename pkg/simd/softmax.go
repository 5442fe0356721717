package simd

// Softmax replaces each row of x (rows, cols) by e^x/Σe^x, shifted by the row's maximum beforehand. Sums are in the order of [ExpSum].
func Softmax(x []float32, rows, cols int) {
	wantMatrix("Softmax", "x", x, rows, cols)
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		scale(row, 1/ExpSum(row, row, Max(row)))
	}
}

// SoftmaxBackward replaces dy (rows, cols), the gradient of the result y of [Softmax], by that of its input: y·(dy − Σ dy·y) for each row.
func SoftmaxBackward(dy, y []float32, rows, cols int) {
	wantMatrix("SoftmaxBackward", "dy", dy, rows, cols)
	wantMatrix("SoftmaxBackward", "y", y, rows, cols)
	for r := range rows {
		d, p := dy[r*cols:(r+1)*cols], y[r*cols:(r+1)*cols]
		blend(d, d, d, 1, 0, -Dot(d, p))
		mulBy(d, p)
	}
}
