package simd

import (
	"errors"
	"testing"

	"gorgonia.org/tensor"
)

func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(Engine{}))
}

func TestEngineMatMulOnLazyTranspose(t *testing.T) {
	a := dense([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	if err := a.T(); err != nil {
		t.Fatal(err)
	}
	out, err := a.MatMul(dense([]float32{1, 0, 0, 1, 1, 1}, 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, out.Float32s(), []float32{6, 8, 8, 10})
}

func TestEngineRejectsViewsWithGaps(t *testing.T) {
	a := dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	view, err := a.Slice(nil, tensor.S(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.(*tensor.Dense).MatMul(dense([]float32{1, 0, 0, 1}, 2, 2)); !errors.Is(err, ErrLayout) {
		t.Fatalf("a column slice gave error %v, want ErrLayout", err)
	}
	rows, err := a.Slice(tensor.S(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := dense([]float32{1, 0, 1, 0, 1, 1}, 2, 3).MatVecMul(rows)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got.Float32s(), []float32{4, 5})
}

func TestEngineVectors(t *testing.T) {
	x, y := dense([]float32{1, 2}, 2), dense([]float32{3, 4, 5}, 3)
	out, err := x.Outer(y)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, out.Float32s(), []float32{3, 4, 5, 6, 8, 10})
	inner, err := x.Inner(dense([]float32{10, 1}, 2))
	if err != nil {
		t.Fatal(err)
	}
	if inner != float32(12) {
		t.Fatalf("inner product is %v, want 12", inner)
	}
	sum, err := x.Add(x)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, sum.Float32s(), []float32{2, 4})
}

func TestEngineRejectsOtherTypes(t *testing.T) {
	a := tensor.New(tensor.WithShape(1, 1), tensor.WithBacking([]float64{1}), tensor.WithEngine(Engine{}))
	if _, err := a.MatMul(a); !errors.Is(err, ErrLayout) {
		t.Fatalf("float64 gave error %v, want ErrLayout", err)
	}
}
