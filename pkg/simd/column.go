package simd

import "fmt"

func wantMatrix(op, name string, s []float32, rows, cols int) {
	if rows < 0 || cols < 0 || len(s) < rows*cols {
		panic(fmt.Sprintf("simd: %s: %s has %d elements, %d rows of %d columns need %d", op, name, len(s), rows, cols, rows*cols))
	}
}

// ColumnSum computes dst[c] = Σ_r x[r,c] for x (rows, cols). Rows are summed in order within runs of 128, the runs in order.
func ColumnSum(dst, x []float32, rows, cols int) {
	wantMatrix("ColumnSum", "x", x, rows, cols)
	wantLen("ColumnSum", "dst", dst, cols)
	Columns{1, rows, cols}.sumOne(dst, [4][]float32{x}, [4][]float32{}, func(b columnsBlock) {
		b.clearSums()
		columnSumBlock(b.sums[0], b.mats[0], b.rows, b.cols)
	})
}

// ColumnSqDev computes dst[c] = Σ_r (x[r,c]−mean[c])² for x (rows, cols), in the order of [ColumnSum].
func ColumnSqDev(dst, x, mean []float32, rows, cols int) {
	wantMatrix("ColumnSqDev", "x", x, rows, cols)
	wantLen("ColumnSqDev", "dst", dst, cols)
	wantLen("ColumnSqDev", "mean", mean, cols)
	Columns{1, rows, cols}.sumOne(dst, [4][]float32{x}, [4][]float32{mean}, func(b columnsBlock) {
		b.clearSums()
		columnSqDevBlock(b.sums[0], b.mats[0], b.vals[0], b.rows, b.cols)
	})
}

// ColumnDot computes dst[c] = Σ_r x[r,c]·y[r,c] for x and y (rows, cols), in the order of [ColumnSum].
func ColumnDot(dst, x, y []float32, rows, cols int) {
	wantMatrix("ColumnDot", "x", x, rows, cols)
	wantMatrix("ColumnDot", "y", y, rows, cols)
	wantLen("ColumnDot", "dst", dst, cols)
	Columns{1, rows, cols}.sumOne(dst, [4][]float32{x, y}, [4][]float32{}, func(b columnsBlock) {
		b.clearSums()
		columnDotBlock(b.sums[0], b.mats[0], b.mats[1], b.rows, b.cols)
	})
}

// ColumnDotDev computes dst[c] = Σ_r x[r,c]·(y[r,c]−mean[c]) for x and y (rows, cols), in the order of [ColumnSum]. It loses no digits to a large mean,
// as ColumnDot and a correction would.
func ColumnDotDev(dst, x, y, mean []float32, rows, cols int) {
	wantMatrix("ColumnDotDev", "x", x, rows, cols)
	wantMatrix("ColumnDotDev", "y", y, rows, cols)
	wantLen("ColumnDotDev", "dst", dst, cols)
	wantLen("ColumnDotDev", "mean", mean, cols)
	Columns{1, rows, cols}.sumOne(dst, [4][]float32{x, y}, [4][]float32{mean}, func(b columnsBlock) {
		b.clearSums()
		columnDotDevBlock(b.sums[0], b.mats[0], b.mats[1], b.vals[0], b.rows, b.cols)
	})
}

// ScaleShift computes y[r,c] = x[r,c]·factor[c] + shift[c] for x and y (rows, cols); y may be x.
func ScaleShift(y, x, factor, shift []float32, rows, cols int) {
	Columns{1, rows, cols}.ScaleShift(y, x, factor, shift)
}

// Affine2 computes dst[r,c] = (x[r,c]·a[c] + y[r,c]·b[c]) + c[c], the form that the gradient through a batch norm takes; x, y and dst are
// (rows, cols), and dst may be x or y. The order is x·a + (y·b + c).
func Affine2(dst, x, y, a, b, c []float32, rows, cols int) {
	Columns{1, rows, cols}.Affine2(dst, x, y, a, b, c)
}

// AddRow computes x[r,c] += row[c] for x (rows, cols).
func AddRow(x, row []float32, rows, cols int) {
	wantMatrix("AddRow", "x", x, rows, cols)
	wantLen("AddRow", "row", row, cols)
	Columns{1, rows, cols}.each([4][]float32{x}, [4][]float32{row}, func(b columnsBlock) {
		addRow(b.mats[0], b.vals[0], b.rows, b.cols)
	})
}
