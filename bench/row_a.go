package main

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/simd"
)

// gemm is row a: matrix products by OpenBLAS.
func (b *bench) gemm(ctx context.Context) (figures []figure, err error) {
	for _, size := range []struct {
		id      string
		m, n, k int
	}{{"a.256", 256, 512, 512}, {"a.1024", 1024, 1024, 1024}, {"a.2048", 2048, 2048, 2048}} {
		m, n, k := size.m, size.n, size.k
		x, y, z := normal("a", m*k), normal("b", k*n), make([]float32, m*n)
		call := func() { simd.Gemm(false, false, m, n, k, 1, x, k, y, n, 0, z, n) }
		p, err := b.compare(ctx, call, "gemm", map[string]any{"m": m, "n": n, "k": k})
		if err != nil {
			return nil, err
		}
		// The bar is a share of OpenBLAS's speed.
		figures = append(figures, compared(size.id, fmt.Sprintf("sgemm %d×%d×%d", m, n, k), p, ratioBar(1/0.92)))
	}
	return figures, nil
}
