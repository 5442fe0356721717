package simd

import "fmt"

// columnRun is the number of rows that one chain of a column sum covers; the chains are then added in order.
const columnRun = 128

func wantMatrix(op, name string, s []float32, rows, cols int) {
	if rows < 0 || cols < 0 || len(s) < rows*cols {
		panic(fmt.Sprintf("simd: %s: %s has %d elements, %d rows of %d columns need %d", op, name, len(s), rows, cols, rows*cols))
	}
}

// ColumnSum computes dst[c] = Σ_r x[r,c] for x (rows, cols). Rows are summed in order within runs of 128, the runs in order.
func ColumnSum(dst, x []float32, rows, cols int) {
	wantMatrix("ColumnSum", "x", x, rows, cols)
	wantLen("ColumnSum", "dst", dst, cols)
	clear(dst[:cols])
	for r := 0; r < rows; r += columnRun {
		n := min(columnRun, rows-r)
		columnSumBlock(dst[:cols], x[r*cols:(r+n)*cols], n, cols)
	}
}

// ColumnSqDev computes dst[c] = Σ_r (x[r,c]−mean[c])² for x (rows, cols), in the order of [ColumnSum].
func ColumnSqDev(dst, x, mean []float32, rows, cols int) {
	wantMatrix("ColumnSqDev", "x", x, rows, cols)
	wantLen("ColumnSqDev", "dst", dst, cols)
	wantLen("ColumnSqDev", "mean", mean, cols)
	clear(dst[:cols])
	for r := 0; r < rows; r += columnRun {
		n := min(columnRun, rows-r)
		columnSqDevBlock(dst[:cols], x[r*cols:(r+n)*cols], mean[:cols], n, cols)
	}
}

// ColumnDot computes dst[c] = Σ_r x[r,c]·y[r,c] for x and y (rows, cols), in the order of [ColumnSum].
func ColumnDot(dst, x, y []float32, rows, cols int) {
	wantMatrix("ColumnDot", "x", x, rows, cols)
	wantMatrix("ColumnDot", "y", y, rows, cols)
	wantLen("ColumnDot", "dst", dst, cols)
	clear(dst[:cols])
	for r := 0; r < rows; r += columnRun {
		n := min(columnRun, rows-r)
		columnDotBlock(dst[:cols], x[r*cols:(r+n)*cols], y[r*cols:(r+n)*cols], n, cols)
	}
}

// ColumnDotDev computes dst[c] = Σ_r x[r,c]·(y[r,c]−mean[c]) for x and y (rows, cols), in the order of [ColumnSum]. It loses no digits to a large mean,
// as ColumnDot and a correction would.
func ColumnDotDev(dst, x, y, mean []float32, rows, cols int) {
	wantMatrix("ColumnDotDev", "x", x, rows, cols)
	wantMatrix("ColumnDotDev", "y", y, rows, cols)
	wantLen("ColumnDotDev", "dst", dst, cols)
	wantLen("ColumnDotDev", "mean", mean, cols)
	clear(dst[:cols])
	for r := 0; r < rows; r += columnRun {
		n := min(columnRun, rows-r)
		columnDotDevBlock(dst[:cols], x[r*cols:(r+n)*cols], y[r*cols:(r+n)*cols], mean[:cols], n, cols)
	}
}

// ScaleShift computes y[r,c] = x[r,c]·factor[c] + shift[c] for x and y (rows, cols); y may be x.
func ScaleShift(y, x, factor, shift []float32, rows, cols int) {
	wantMatrix("ScaleShift", "y", y, rows, cols)
	wantMatrix("ScaleShift", "x", x, rows, cols)
	wantLen("ScaleShift", "factor", factor, cols)
	wantLen("ScaleShift", "shift", shift, cols)
	scaleShift(y[:rows*cols], x[:rows*cols], factor[:cols], shift[:cols], rows, cols)
}

// Affine2 computes dst[r,c] = (x[r,c]·a[c] + y[r,c]·b[c]) + c[c], the form that the gradient through a batch norm takes; x, y and dst are
// (rows, cols), and dst may be x or y. The order is x·a + (y·b + c).
func Affine2(dst, x, y, a, b, c []float32, rows, cols int) {
	wantMatrix("Affine2", "dst", dst, rows, cols)
	wantMatrix("Affine2", "x", x, rows, cols)
	wantMatrix("Affine2", "y", y, rows, cols)
	wantLen("Affine2", "a", a, cols)
	wantLen("Affine2", "b", b, cols)
	wantLen("Affine2", "c", c, cols)
	affine2(dst[:rows*cols], x[:rows*cols], y[:rows*cols], a[:cols], b[:cols], c[:cols], rows, cols)
}

// AddRow computes x[r,c] += row[c] for x (rows, cols).
func AddRow(x, row []float32, rows, cols int) {
	wantMatrix("AddRow", "x", x, rows, cols)
	wantLen("AddRow", "row", row, cols)
	addRow(x[:rows*cols], row[:cols], rows, cols)
}
