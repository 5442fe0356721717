package simd

import (
	"fmt"
	"math"
	"testing"
)

// lengths covers the widths of one register, of four, and of a run of partial sums.
var lengths = append([]int{0, 8, 32, 63, 64, 100, sumRun, 2*sumRun + 33}, awkward...)

func TestElementwise(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range lengths {
			x, y := random(n, 1), random(n, 2)
			for _, op := range []struct {
				name string
				run  func(dst []float32)
				want func(a, b float64) float64 // of the old value and of y
			}{
				{"Add", func(dst []float32) { Add(dst, y) }, func(a, b float64) float64 { return a + b }},
				{"Mul", func(dst []float32) { Mul(dst, y) }, func(a, b float64) float64 { return a * b }},
				{"Axpy", func(dst []float32) { Axpy(dst, 0.7, y) }, func(a, b float64) float64 { return a + float64(float32(0.7))*b }},
				{"Scale", func(dst []float32) { Scale(dst, -3) }, func(a, _ float64) float64 { return -3 * a }},
				{"ReLU", func(dst []float32) { ReLU(dst, y) }, func(_, b float64) float64 { return max(b, 0) }},
				{"ReLUBackward", func(dst []float32) { ReLUBackward(dst, dst, y) }, func(a, b float64) float64 {
					if b > 0 {
						return a
					}
					return 0
				}},
			} {
				got := append([]float32(nil), x...)
				op.run(got)
				want := make([]float64, n)
				for i := range want {
					want[i] = op.want(float64(x[i]), float64(y[i]))
				}
				wantClose(t, fmt.Sprintf("%s of %d", op.name, n), got, want, 1e-6)
			}
		}
	})
}

func TestSumsAndMax(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range lengths {
			x, y := random(n, 1), random(n, 2)
			sum, dot, top, size := 0.0, 0.0, math.Inf(-1), 1e-30
			for i := range x {
				sum += float64(x[i])
				dot += float64(x[i]) * float64(y[i])
				top = max(top, float64(x[i]))
				size += math.Abs(float64(x[i])) + math.Abs(float64(x[i])*float64(y[i]))
			}
			if d := math.Abs(float64(Sum(x)) - sum); d > 1e-7*size {
				t.Errorf("Sum of %d is off by %v", n, d)
			}
			if d := math.Abs(float64(Dot(x, y)) - dot); d > 1e-7*size {
				t.Errorf("Dot of %d is off by %v", n, d)
			}
			if got := Max(x); float64(got) != top {
				t.Errorf("Max of %d is %v, want %v", n, got, top)
			}
		}
	})
}

func TestSpecialValues(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		for _, n := range []int{4, 8, 40} {
			x := make([]float32, n)
			for i := range x {
				x[i] = -inf
			}
			x[1], x[2] = nan, -2
			if got := Max(x); got != -2 {
				t.Errorf("Max passing over NaN, n=%d: %v, want -2", n, got)
			}
			y := make([]float32, n)
			ReLU(y, x)
			if y[1] == y[1] || y[2] != 0 {
				t.Errorf("ReLU of NaN and -2: %v and %v", y[1], y[2])
			}
		}
		zero := float32(math.Copysign(0, -1))
		if got := Max([]float32{zero, zero}); math.Signbit(float64(got)) {
			t.Error("Max of negative zeros is -0, want +0")
		}
	})
}

// The kernels without multiply-adds give the same bits in assembly and in portable code.
func TestCanonicalOrderIsShared(t *testing.T) {
	for _, n := range lengths {
		x := random(n, 3)
		cols := 19
		results := map[bool][]float32{}
		for _, path := range []bool{true, false} {
			detected := vectorised
			vectorised = detected && path
			columns := make([]float32, cols)
			ColumnSum(columns, x, n/cols, cols)
			results[path] = append(columns, Sum(x), Max(x))
			vectorised = detected
		}
		wantSame(t, results[true], results[false])
	}
}

func TestShortSlicesPanicBeforeAnyWrite(t *testing.T) {
	for name, f := range map[string]func(){
		"Add":       func() { Add(make([]float32, 3), make([]float32, 4)) },
		"Dot":       func() { Dot(make([]float32, 3), make([]float32, 2)) },
		"Exp":       func() { Exp(nil, make([]float32, 1)) },
		"ColumnSum": func() { ColumnSum(make([]float32, 2), make([]float32, 5), 3, 2) },
		"Gemm a": func() {
			Gemm(false, false, 2, 2, 2, 1, make([]float32, 3), 2, make([]float32, 4), 2, 0, make([]float32, 4), 2)
		},
		"Gemm ldb": func() {
			Gemm(false, true, 2, 2, 3, 1, make([]float32, 6), 3, make([]float32, 9), 2, 0, make([]float32, 4), 2)
		},
		"Conv": func() {
			Conv{N: 1, H: 4, W: 4, Cin: 1, Cout: 1, K: 3, Stride: 1, Pad: 1}.Forward(make([]float32, 15), make([]float32, 16), make([]float32, 9))
		},
		"Conv geometry": func() { Conv{N: 1, H: 2, W: 2, Cin: 1, Cout: 1, K: 3, Stride: 1}.Forward(nil, nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			f()
		})
	}
}

func BenchmarkVector(b *testing.B) {
	const n, cols = 1 << 16, 64
	x, y, z := random(n, 1), random(n, 2), make([]float32, n)
	row := random(cols, 3)
	for _, op := range []struct {
		name string
		run  func()
	}{
		{"Add", func() { Add(z, x) }},
		{"Dot", func() { Dot(x, y) }},
		{"Sum", func() { Sum(x) }},
		{"Max", func() { Max(x) }},
		{"ReLU", func() { ReLU(z, x) }},
		{"ExpSum", func() { ExpSum(z, x, 1) }},
		{"ColumnSum", func() { ColumnSum(row, x, n/cols, cols) }},
		{"ColumnSqDev", func() { ColumnSqDev(z, x, row, n/cols, cols) }},
		{"ColumnDot", func() { ColumnDot(z, x, y, n/cols, cols) }},
		{"ScaleShift", func() { ScaleShift(z, x, row, row, n/cols, cols) }},
		{"Affine2", func() { Affine2(z, x, y, row, row, row, n/cols, cols) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				op.run()
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelement/s")
		})
	}
}
