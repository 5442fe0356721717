package simd

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// BLAS is a gonum and gorgonia BLAS whose float32 products and sums run on the kernels of this package, all else on gonum's:
//
//	tensor.Use(simd.BLAS{})    // for tensors with gorgonia's own engines
//	blas32.Use(simd.BLAS{})    // for gonum's blas32
type BLAS struct{ gonum.Implementation }

func transposed(t blas.Transpose) bool { return t != blas.NoTrans }

// Sgemm computes C = alpha·op(A)·op(B) + beta·C with [Gemm].
func (BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	Gemm(transposed(tA), transposed(tB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Sgemv computes y = alpha·op(A)·x + beta·y.
func (b BLAS) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	if incX != 1 || incY != 1 {
		b.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	trans := transposed(tA)
	Gemm(trans, false, pick(trans, n, m), 1, pick(trans, m, n), alpha, a, lda, x, 1, beta, y, 1)
}

// Sdot computes Σ x·y with [Dot].
func (b BLAS) Sdot(n int, x []float32, incX int, y []float32, incY int) float32 {
	if incX != 1 || incY != 1 || n < 0 {
		return b.Implementation.Sdot(n, x, incX, y, incY)
	}
	return Dot(x[:n], y[:n])
}

// Saxpy computes y += alpha·x.
func (b BLAS) Saxpy(n int, alpha float32, x []float32, incX int, y []float32, incY int) {
	if incX != 1 || incY != 1 || n < 0 {
		b.Implementation.Saxpy(n, alpha, x, incX, y, incY)
		return
	}
	Axpy(y[:n], alpha, x[:n])
}

// Sscal computes x *= alpha.
func (b BLAS) Sscal(n int, alpha float32, x []float32, incX int) {
	if incX != 1 || n < 0 || alpha == 0 { // zero clears, NaN included
		b.Implementation.Sscal(n, alpha, x, incX)
		return
	}
	Scale(x[:n], alpha)
}

// Sger computes A += alpha·x·yᵀ.
func (b BLAS) Sger(m, n int, alpha float32, x []float32, incX int, y []float32, incY int, a []float32, lda int) {
	if incX != 1 || incY != 1 {
		b.Implementation.Sger(m, n, alpha, x, incX, y, incY, a, lda)
		return
	}
	Gemm(false, false, m, n, 1, alpha, x, 1, y, max(n, 1), 1, a, lda)
}
