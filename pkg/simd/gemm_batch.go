package simd

import (
	"fmt"
	"sync"
)

// Matrices are matrices of one shape in one slice, in rows of a table: matrix (i, j) starts at element i·Outer + j·Inner and has leading dimension LD. The
// strides may be any that are not negative. The heads of attention, say, packed as (B, T, 3, H, D), are for the queries
// {qkv, 3·H·D, T·3·H·D, D} and for the keys {qkv[H·D:], 3·H·D, T·3·H·D, D}.
type Matrices struct {
	Data             []float32
	LD, Outer, Inner int
}

// from returns the slice in which matrix (i, j) starts.
func (s Matrices) from(i, j int) []float32 { return s.Data[i*s.Outer+j*s.Inner:] }

// GemmBatch computes outer×inner products of one shape, C = alpha·op(A)·op(B) + beta·C for each (i, j), with the bits that [Gemm] gives for each. Matrices of c must
// not overlap each other, a or b; those of a and b may be shared (a stride of zero).
func GemmBatch(outer, inner int, transA, transB bool, m, n, k int, alpha float32, a, b Matrices, beta float32, c Matrices) {
	if outer < 0 || inner < 0 || m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("simd: GemmBatch: negative count or size %d×%d, m=%d n=%d k=%d", outer, inner, m, n, k))
	}
	count := outer * inner
	if count == 0 || m == 0 || n == 0 {
		return
	}
	wantMatrices("c", c, outer, inner, m, n)
	if k > 0 && alpha != 0 {
		wantMatrices("a", a, outer, inner, pick(transA, k, m), pick(transA, m, k))
		wantMatrices("b", b, outer, inner, pick(transB, n, k), pick(transB, k, n))
	}
	g := gemmBatches.Get().(*gemmBatch)
	g.inner, g.transA, g.transB, g.m, g.n, g.k = inner, transA, transB, m, n, k
	g.alpha, g.beta, g.a, g.b, g.c = alpha, beta, a, b, c
	// Enough matrices for all threads: one matrix is one thread's work. Few: each is divided.
	g.divide = int64(count) < 2*threads()
	if g.divide || count*m*n*k <= gemmSmall {
		for i := range count {
			g.step(i)
		}
	} else {
		Parallel(count, g.step)
	}
	g.a, g.b, g.c = Matrices{}, Matrices{}, Matrices{}
	gemmBatches.Put(g)
}

func wantMatrices(name string, s Matrices, outer, inner, rows, cols int) {
	if s.Outer < 0 || s.Inner < 0 || s.LD < cols {
		panic(fmt.Sprintf("simd: GemmBatch: %s has strides %d and %d and leading dimension %d, want none negative and rows of %d", name, s.Outer, s.Inner, s.LD, cols))
	}
	if need := (outer-1)*s.Outer + (inner-1)*s.Inner + (rows-1)*s.LD + cols; len(s.Data) < need {
		panic(fmt.Sprintf("simd: GemmBatch: %s has %d elements, %d×%d matrices with strides %d and %d need %d", name, len(s.Data), outer, inner, s.Outer, s.Inner, need))
	}
}

// A gemmBatch is one GemmBatch in progress, pooled as a gemm is.
type gemmBatch struct {
	inner          int
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	a, b, c        Matrices
	divide         bool // the threads share each product
	step           func(int)
}

var gemmBatches = sync.Pool{New: func() any {
	g := new(gemmBatch)
	g.step = g.product
	return g
}}

func (g *gemmBatch) product(at int) {
	i, j := at/g.inner, at%g.inner
	var a, b []float32
	if g.k > 0 && g.alpha != 0 {
		a, b = g.a.from(i, j), g.b.from(i, j)
	}
	gemmOne(g.divide, g.transA, g.transB, g.m, g.n, g.k, g.alpha, a, g.a.LD, b, g.b.LD, g.beta, g.c.from(i, j), g.c.LD)
}
