package simd

import (
	"fmt"
	"testing"
)

func TestColumnKernels(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 2, 7, columnRun, 2*columnRun + 5} {
			for _, cols := range append([]int{0, 8, 32, 40, 64, 71}, awkward...) {
				checkColumns(t, rows, cols)
			}
		}
	})
}

func checkColumns(t *testing.T, rows, cols int) {
	t.Helper()
	x, y := random(rows*cols, 1), random(rows*cols, 2)
	a, b, c := random(cols, 3), random(cols, 4), random(cols, 5)
	for _, op := range []struct {
		name string
		run  func(dst []float32)
		term func(x, y, a float64) float64
	}{
		{"ColumnSum", func(dst []float32) { ColumnSum(dst, x, rows, cols) }, func(x, _, _ float64) float64 { return x }},
		{"ColumnSqDev", func(dst []float32) { ColumnSqDev(dst, x, a, rows, cols) }, func(x, _, a float64) float64 { return (x - a) * (x - a) }},
		{"ColumnDot", func(dst []float32) { ColumnDot(dst, x, y, rows, cols) }, func(x, y, _ float64) float64 { return x * y }},
		{"ColumnDotDev", func(dst []float32) { ColumnDotDev(dst, x, y, a, rows, cols) }, func(x, y, a float64) float64 { return x * (y - a) }},
	} {
		want := make([]float64, cols)
		for i := range x {
			want[i%cols] += op.term(float64(x[i]), float64(y[i]), float64(a[i%cols]))
		}
		got := random(cols, 6) // overwritten
		op.run(got)
		wantClose(t, fmt.Sprintf("%s (%d, %d)", op.name, rows, cols), got, want, 1e-5)
	}
	for _, op := range []struct {
		name  string
		run   func(dst []float32)
		value func(x, y, a, b, c float64) float64
	}{
		{"ScaleShift", func(dst []float32) { ScaleShift(dst, dst, a, b, rows, cols) }, func(x, _, a, b, _ float64) float64 { return x*a + b }},
		{"AddRow", func(dst []float32) { AddRow(dst, a, rows, cols) }, func(x, _, a, _, _ float64) float64 { return x + a }},
		{"Affine2", func(dst []float32) { Affine2(dst, dst, y, a, b, c, rows, cols) }, func(x, y, a, b, c float64) float64 { return x*a + y*b + c }},
	} {
		want := make([]float64, len(x))
		for i := range x {
			j := i % cols
			want[i] = op.value(float64(x[i]), float64(y[i]), float64(a[j]), float64(b[j]), float64(c[j]))
		}
		got := append([]float32(nil), x...)
		op.run(got)
		wantClose(t, fmt.Sprintf("%s (%d, %d)", op.name, rows, cols), got, want, 3e-7)
	}
}
