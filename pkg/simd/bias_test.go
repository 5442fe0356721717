package simd

import "testing"

// The fused passes give the bits of the separate ones.
func TestFusedPassesAreTheSeparateOnes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 3, columnRun + 5} {
			for _, cols := range awkward {
				x, y, row := random(rows*cols, 1), random(rows*cols, 2), random(cols, 3)
				copied := func(s []float32) []float32 { return append([]float32(nil), s...) }

				slope, want := copied(x), make([]float32, rows*cols)
				AddRow(slope, row, rows, cols)
				GELU(want, slope, slope)
				gotSlope, got := copied(x), random(rows*cols, 4)
				AddRowGELU(got, gotSlope, row, rows, cols)
				wantSame(t, got, want)
				wantSame(t, gotSlope, slope)

				want, got = copied(y), copied(y)
				AddRow(want, row, rows, cols)
				Add(want, x)
				AddRowAndMatrix(got, row, x, rows, cols)
				wantSame(t, got, want)

				want, got = copied(y), copied(y)
				Mul(want, x)
				sum, gotSum := make([]float32, cols), random(cols, 5)
				ColumnSum(sum, want, rows, cols)
				MulColumnSum(gotSum, got, x, rows, cols)
				wantSame(t, got, want)
				wantSame(t, gotSum, sum)
			}
		}
	})
}
