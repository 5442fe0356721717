package simd

import (
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/tensor"
)

// gorgonia takes it in place of its own.
var _ tensor.BLAS = BLAS{}

func TestBLASAgreesWithGonum(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, n, k = 7, 19, 11
		a, b, c := random(m*k, 1), random(k*n, 2), random(m*n, 3)
		x, y := random(n, 4), random(m, 5)
		for name, f := range map[string]func(tensor.BLAS) []float32{
			"Sgemm": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), c...)
				l.Sgemm(blas.Trans, blas.NoTrans, m, n, k, 2, a, m, b, n, 0.5, out, n)
				return out
			},
			"Sgemv": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), y...)
				l.Sgemv(blas.NoTrans, m, n, 2, c, n, x, 1, 0.5, out, 1)
				return out
			},
			"Sgemv transposed": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), x...)
				l.Sgemv(blas.Trans, m, n, 2, c, n, y, 1, 0.5, out, 1)
				return out
			},
			"Sgemv with strides": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), x...)
				l.Sgemv(blas.NoTrans, 3, 2, 2, c, n, x, 2, 0.5, out, 3)
				return out
			},
			"Sger": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), c...)
				l.Sger(m, n, 0.5, y, 1, x, 1, out, n)
				return out
			},
			"Sdot": func(l tensor.BLAS) []float32 { return []float32{l.Sdot(m*k, a, 1, b, 1), l.Sdot(3, a, 2, b, 1)} },
			"Saxpy": func(l tensor.BLAS) []float32 {
				out := append([]float32(nil), x...)
				l.Saxpy(n, 3, b, 1, out, 1)
				return out
			},
			"Sscal": func(l tensor.BLAS) []float32 { out := append([]float32(nil), x...); l.Sscal(n, 3, out, 1); return out },
			"Sscal to zero": func(l tensor.BLAS) []float32 {
				out := []float32{Log(-1), 2}
				l.Sscal(2, 0, out, 1)
				return out
			},
		} {
			want := f(gonum.Implementation{})
			wide := make([]float64, len(want))
			for i, v := range want {
				wide[i] = float64(v)
			}
			wantClose(t, name, f(BLAS{}), wide, 2e-6)
		}
	})
}
