package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// awkward are sizes around the widths of registers, tiles and panels.
var awkward = []int{1, 2, 3, 5, 7, 15, 16, 17, 31, 33}

// eachPath runs a test on the portable kernels and on each set of assembly kernels that the CPU has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	before := vectorised
	defer func() { vectorised = before }()
	vectorised = false
	t.Run("portable", f)
	if !before {
		return
	}
	vectorised = true
	eachAssembly(t, f)
}

func random(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

func wantSame(t *testing.T, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// wantClose checks max|got−want| ≤ tolerance·max|want|.
func wantClose(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	largest, worst, at := 1e-30, 0.0, 0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if d := math.Abs(float64(got[i]) - w); d > worst || d != d {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*largest) {
		t.Fatalf("%s: value %d of %d is %v, want %v (relative error %.2g, allowed %.2g)", what, at, len(want), got[at], want[at], worst/largest, tolerance)
	}
}
