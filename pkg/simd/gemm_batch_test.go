package simd

import (
	"fmt"
	"testing"
)

// Queries, keys and values packed (B, T, 3, H, D) are the case that batches are made for.
func TestGemmBatchOnPackedHeads(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const batch, length, heads, width = 3, 17, 2, 12
		const row = 3 * heads * width
		qkv := random(batch*length*row, 1)
		queries := Matrices{qkv, row, length * row, width}
		keys := Matrices{qkv[heads*width:], row, length * row, width}
		scores := random(batch*heads*length*length, 2)
		GemmBatch(batch, heads, false, true, length, length, width, 0.5, queries, keys, 0,
			Matrices{scores, length, heads * length * length, length * length})
		for b := range batch {
			for h := range heads {
				one := make([]float32, length*length)
				at := b*length*row + h*width
				Gemm(false, true, length, length, width, 0.5, qkv[at:], row, qkv[at+heads*width:], row, 0, one, length)
				from := (b*heads + h) * length * length
				wantSame(t, scores[from:from+length*length], one)
			}
		}
	})
}

func TestGemmBatchIsGemmOfEach(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		defer SetThreads(0)
		for _, size := range [][3]int{{1, 1, 1}, {5, 33, 7}, {65, 65, 64}, {130, 20, 300}} {
			m, n, k := size[0], size[1], size[2]
			for _, threads := range []int{1, 2, 3} {
				SetThreads(threads)
				for _, outer := range []int{1, 4} {
					for flags := range 4 {
						tA, tB := flags&1 != 0, flags&2 != 0
						const inner, gap = 3, 5
						lda, ldb, ldc := pick(tA, m, k)+1, pick(tB, k, n)+2, n+3
						sa, sb, sc := pick(tA, k, m)*lda+gap, pick(tB, n, k)*ldb, m*ldc+gap
						a, b, c := random(outer*inner*sa, 1), random(inner*sb, 2), random(outer*inner*sc, 3)
						want := append([]float32(nil), c...)
						// One B for all outer indices.
						GemmBatch(outer, inner, tA, tB, m, n, k, 0.7, Matrices{a, lda, inner * sa, sa}, Matrices{b, ldb, 0, sb}, 0.3, Matrices{c, ldc, inner * sc, sc})
						for i := range outer * inner {
							Gemm(tA, tB, m, n, k, 0.7, a[i*sa:], lda, b[i%inner*sb:], ldb, 0.3, want[i*sc:], ldc)
						}
						wantSame(t, c, want)
					}
				}
			}
		}
	})
}

func TestGemmBatchEmptySums(t *testing.T) {
	c := []float32{7, 8, 9, 10}
	GemmBatch(2, 1, false, false, 1, 2, 0, 1, Matrices{LD: 1}, Matrices{LD: 2}, 0, Matrices{c, 2, 2, 0})
	wantSame(t, c, []float32{0, 0, 0, 0})
}

func TestGemmBatchRejectsShortSlices(t *testing.T) {
	for name, c := range map[string]Matrices{
		"short":    {make([]float32, 7), 2, 4, 0},
		"negative": {make([]float32, 8), 2, -4, 0},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			GemmBatch(2, 1, false, false, 2, 2, 1, 1, Matrices{make([]float32, 4), 1, 2, 0}, Matrices{make([]float32, 4), 2, 2, 0}, 0, c)
		}()
	}
}

func BenchmarkGemmBatch(bm *testing.B) {
	for _, s := range [][3]int{{65, 65, 64}, {65, 64, 65}} {
		for flags := range 4 {
			tA, tB := flags&1 != 0, flags&2 != 0
			m, n, k := s[0], s[1], s[2]
			bm.Run(fmt.Sprintf("%v,%v/192x%dx%dx%d", tA, tB, m, n, k), func(bm *testing.B) {
				const batch, heads = 64, 3
				a, b, c := random(batch*heads*m*k, 1), random(batch*heads*k*n, 2), make([]float32, batch*heads*m*n)
				bm.ReportAllocs()
				for bm.Loop() {
					GemmBatch(batch, heads, tA, tB, m, n, k, 1, Matrices{a, pick(tA, m, k), heads * m * k, m * k},
						Matrices{b, pick(tB, k, n), heads * k * n, k * n}, 0, Matrices{c, n, heads * m * n, m * n})
				}
				reportRate(bm, 2*batch*heads*float64(m)*float64(n)*float64(k))
			})
		}
	}
}
