package objective

import (
	"math"
	"testing"
)

// agrees holds what the package computes, and the reference in float64 of its tests, against PyTorch in float64.
func agrees(t *testing.T, what string, got, reference, want []float64) {
	t.Helper()
	worst := func(a []float64) float64 {
		difference, size := 0.0, 0.0
		for i, b := range want {
			difference, size = max(difference, math.Abs(a[i]-b)), max(size, math.Abs(b))
		}
		return difference / size
	}
	if e := worst(got); !(e <= 1e-5) {
		t.Errorf("%s is off by %.2e", what, e)
	}
	if e := worst(reference); !(e <= 1e-12) {
		t.Errorf("%s: the reference is off by %.2e", what, e)
	}
}

// differences holds a gradient by x against central differences of a loss that reads x, in float64.
func differences(t *testing.T, gradient []float32, x []float64, h float64, loss func() float64) {
	t.Helper()
	for i, at := range x {
		x[i] = at + h
		up := loss()
		x[i] = at - h
		down := loss()
		x[i] = at
		if numeric := (up - down) / (2 * h); math.Abs(numeric-float64(gradient[i])) > 1e-4*(1+math.Abs(numeric)) {
			t.Errorf("gradient element %d is %v, by central differences %v", i, gradient[i], numeric)
		}
	}
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func narrowed(x []float64) []float32 { return array{Data: x}.f32() }
