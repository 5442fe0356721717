package simd

// AddRowGELU adds row (cols) to each row of x (rows, cols) and computes y = x·Φ(x) of the sums; the derivative takes the place of x. It is
// [AddRow] and [GELU] in one pass.
func AddRowGELU(y, x, row []float32, rows, cols int) {
	c := Columns{1, rows, cols}
	c.want("AddRowGELU", y, x)
	c.wantRows("AddRowGELU", row)
	c.each([4][]float32{y, x}, [4][]float32{row}, func(b columnsBlock) {
		for r := range b.rows {
			x := b.mats[1][r*b.cols : (r+1)*b.cols]
			addTo(x, b.vals[0])
			gelu(b.mats[0][r*b.cols:(r+1)*b.cols], x, x)
		}
	})
}

// AddRowAndMatrix computes y = (y + row) + x, row (cols) added to each row of y and x (rows, cols).
func AddRowAndMatrix(y, row, x []float32, rows, cols int) {
	c := Columns{1, rows, cols}
	c.want("AddRowAndMatrix", y, x)
	c.wantRows("AddRowAndMatrix", row)
	c.each([4][]float32{y, x}, [4][]float32{row}, func(b columnsBlock) {
		for r := range b.rows {
			y := b.mats[0][r*b.cols : (r+1)*b.cols]
			addTo(y, b.vals[0])
			addTo(y, b.mats[1][r*b.cols:(r+1)*b.cols])
		}
	})
}

// MulColumnSum computes y *= x, element by element, and sum[c] = Σ_r y[r,c] of the products, in the order of [ColumnSum].
func MulColumnSum(sum, y, x []float32, rows, cols int) {
	c := Columns{1, rows, cols}
	c.want("MulColumnSum", y, x)
	c.wantRows("MulColumnSum", sum)
	c.sumOne(sum, [4][]float32{y, x}, [4][]float32{}, func(b columnsBlock) {
		b.clearSums()
		mulBy(b.mats[0], b.mats[1])
		columnSumBlock(b.sums[0], b.mats[0], b.rows, b.cols)
	})
}
