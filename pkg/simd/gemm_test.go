package simd

import (
	"fmt"
	"testing"
)

// gemmReference is the definition, in float64.
func gemmReference(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) []float64 {
	out := make([]float64, len(c))
	for i := range c {
		out[i] = float64(c[i])
	}
	for i := range m {
		for j := range n {
			sum := 0.0
			for p := range k {
				sum += float64(a[pick(transA, p*lda+i, i*lda+p)]) * float64(b[pick(transB, j*ldb+p, p*ldb+j)])
			}
			old := out[i*ldc+j]
			if beta == 0 {
				old = 0
			}
			out[i*ldc+j] = float64(alpha)*sum + float64(beta)*old
		}
	}
	return out
}

func checkGemm(t *testing.T, transA, transB bool, m, n, k int, alpha, beta float32, pad int) {
	t.Helper()
	lda, ldb, ldc := pick(transA, m, k)+pad, pick(transB, k, n)+pad, n+pad
	a, b, c := random(pick(transA, k, m)*lda, 1), random(pick(transB, n, k)*ldb, 2), random(m*ldc, 3)
	want := gemmReference(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	Gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	wantClose(t, fmt.Sprintf("tA=%v tB=%v m=%d n=%d k=%d alpha=%v beta=%v pad=%d", transA, transB, m, n, k, alpha, beta, pad), c, want, 2e-6)
}

func TestGemmAwkwardShapes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, m := range awkward {
			for _, n := range awkward {
				for _, k := range awkward {
					for flags := range 4 {
						checkGemm(t, flags&1 != 0, flags&2 != 0, m, n, k, 1, 0, 0)
					}
				}
			}
		}
	})
}

func TestGemmScalingAndLeadingDimensions(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for flags := range 4 {
			for _, beta := range []float32{0, 1, 0.5} {
				for _, alpha := range []float32{1, 2.5, 0} {
					checkGemm(t, flags&1 != 0, flags&2 != 0, 13, 21, 35, alpha, beta, 3)
				}
			}
		}
	})
}

func TestGemmAcrossBlocks(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for flags := range 4 {
			checkGemm(t, flags&1 != 0, flags&2 != 0, gemmRows+7, gemmCols+33, gemmDepth+5, 1, 1, 0)
			checkGemm(t, flags&1 != 0, flags&2 != 0, 70, 50, 512, 1, 0, 0)
		}
	})
}

func TestGemmEmptySums(t *testing.T) {
	c := []float32{7, 8}
	Gemm(false, false, 1, 2, 0, 1, nil, 1, nil, 2, 1, c, 2)
	wantSame(t, c, []float32{7, 8})
	Gemm(false, false, 1, 2, 0, 1, nil, 1, nil, 2, 0, c, 2)
	wantSame(t, c, []float32{0, 0})
}

func TestGemmDoesNotReadCWithoutBeta(t *testing.T) {
	nan := Log(-1)
	c := []float32{nan, nan}
	Gemm(false, false, 1, 2, 1, 1, []float32{2}, 1, []float32{3, 4}, 2, 0, c, 2)
	wantSame(t, c, []float32{6, 8})
}

func TestGemmSameBitsForAnyThreadsAndAlignment(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		defer SetThreads(0)
		const m, n, k = 131, 145, 300
		a, b := random(m*k, 1), random(n*k, 2)
		var first []float32
		for _, threads := range []int{1, 2, 3, 5} {
			for offset := range 3 {
				SetThreads(threads)
				sa, sb, sc := make([]float32, m*k+offset), make([]float32, n*k+offset), make([]float32, m*n+offset)
				copy(sa[offset:], a)
				copy(sb[offset:], b)
				Gemm(false, true, m, n, k, 0.3, sa[offset:], k, sb[offset:], k, 0, sc[offset:], n)
				if first == nil {
					first = sc
				}
				wantSame(t, sc[offset:], first)
			}
		}
	})
}

func BenchmarkGemm(bm *testing.B) {
	for _, s := range []struct {
		transA, transB bool
		m, n, k        int
	}{
		{false, false, 512, 512, 512}, {false, true, 512, 512, 512}, {true, false, 512, 512, 512},
		{false, true, 32, 4096, 64}, {false, false, 32, 64, 4096}, {false, true, 256, 4096, 64},
		{false, true, 32, 128, 512}, {true, false, 128, 512, 32}, {false, false, 32, 512, 128},
	} {
		for _, threads := range []int{1, 2} {
			bm.Run(fmt.Sprintf("%v,%v/%dx%dx%d/threads=%d", s.transA, s.transB, s.m, s.n, s.k, threads), func(bm *testing.B) {
				SetThreads(threads)
				defer SetThreads(0)
				a, b, c := random(s.m*s.k, 1), random(s.n*s.k, 2), make([]float32, s.m*s.n)
				bm.ReportAllocs()
				for bm.Loop() {
					Gemm(s.transA, s.transB, s.m, s.n, s.k, 1, a, pick(s.transA, s.m, s.k), b, pick(s.transB, s.k, s.n), 0, c, s.n)
				}
				reportRate(bm, 2*float64(s.m)*float64(s.n)*float64(s.k))
			})
		}
	}
}

// reportRate adds the rate of an operation of so many floating-point operations.
func reportRate(b *testing.B, flops float64) {
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
