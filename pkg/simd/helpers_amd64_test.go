package simd

import "testing"

func eachAssembly(t *testing.T, f func(t *testing.T)) {
	before := hasAVX512
	defer func() { hasAVX512 = before }()
	hasAVX512 = false
	t.Run("avx2", f)
	if before {
		hasAVX512 = true
		t.Run("avx512", f)
	}
}
