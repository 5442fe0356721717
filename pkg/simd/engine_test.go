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

func TestEngineElementwise(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		a, b := func() *tensor.Dense { return dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3) }, dense([]float32{6, 5, 4, 3, 2, 2}, 2, 3)
		for _, c := range []struct {
			name string
			f    func(a *tensor.Dense, opts ...tensor.FuncOpt) (tensor.Tensor, error)
			want []float32
		}{
			{"Add", func(a *tensor.Dense, o ...tensor.FuncOpt) (tensor.Tensor, error) { return tensor.Add(a, b, o...) }, []float32{7, 7, 7, 7, 7, 8}},
			{"Sub", func(a *tensor.Dense, o ...tensor.FuncOpt) (tensor.Tensor, error) { return tensor.Sub(a, b, o...) }, []float32{-5, -3, -1, 1, 3, 4}},
			{"Mul", func(a *tensor.Dense, o ...tensor.FuncOpt) (tensor.Tensor, error) { return tensor.Mul(a, b, o...) }, []float32{6, 10, 12, 12, 10, 12}},
			{"MulScalar", func(a *tensor.Dense, o ...tensor.FuncOpt) (tensor.Tensor, error) {
				return tensor.Mul(a, float32(2), o...)
			}, []float32{2, 4, 6, 8, 10, 12}},
		} {
			x := a()
			fresh, err := c.f(x)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			wantSame(t, fresh.Data().([]float32), c.want)
			wantSame(t, x.Float32s(), a().Float32s())
			reuse := dense(make([]float32, 6), 2, 3)
			got, err := c.f(x, tensor.WithReuse(reuse))
			if err != nil || got != tensor.Tensor(reuse) {
				t.Fatalf("%s into a tensor to reuse: %v", c.name, err)
			}
			wantSame(t, reuse.Float32s(), c.want)
			sum := dense([]float32{1, 1, 1, 1, 1, 1}, 2, 3)
			if _, err := c.f(x, tensor.WithIncr(sum)); err != nil {
				t.Fatalf("%s with an increment: %v", c.name, err)
			}
			for i, v := range sum.Float32s() {
				if v != c.want[i]+1 {
					t.Fatalf("%s with an increment gives %v", c.name, sum.Float32s())
				}
			}
			if _, err := c.f(x, tensor.UseUnsafe()); err != nil {
				t.Fatalf("%s in place: %v", c.name, err)
			}
			wantSame(t, x.Float32s(), c.want)
		}
	})
}

func TestEngineElementwiseOnTransposesAndViews(t *testing.T) {
	a := dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	view, err := a.Slice(nil, tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := tensor.Add(view, dense([]float32{10, 20, 30, 40}, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	wantElements(t, sum, 12, 23, 35, 46)
	turned := dense([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	sum, err = tensor.Add(a, turned)
	if err != nil {
		t.Fatal(err)
	}
	wantElements(t, sum, 2, 5, 8, 6, 9, 12)
	if _, err := tensor.Add(a, dense([]float32{1, 2}, 2)); err == nil {
		t.Fatal("shapes (2, 3) and (2) were added")
	}
}

// wantElements compares a matrix row by row, however it lies in memory.
func wantElements(t *testing.T, got tensor.Tensor, want ...float32) {
	t.Helper()
	cols := got.Shape()[1]
	for i, w := range want {
		if v, err := got.At(i/cols, i%cols); err != nil || v != w {
			t.Fatalf("element (%d, %d) is %v (%v), want %v", i/cols, i%cols, v, err, w)
		}
	}
}
