package simd

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// ErrLayout is returned when a tensor handed to the [Engine] does not lie in memory as one row-major (or lazily transposed) float32 run.
var ErrLayout = errors.New("tensor layout not supported")

// Engine is a gorgonia tensor engine whose linear algebra and sums, differences and products of elements on float32 run on the kernels of this package:
//
//	tensor.New(tensor.WithShape(m, k), tensor.WithBacking(data), tensor.WithEngine(simd.Engine{}))
//
// It takes contiguous row-major tensors and lazy transposes (T) of matrices. A view with gaps (a column slice) is an error wrapping
// [ErrLayout]: clone it first. What it does not override, allocation and shape operations above all, is the standard engine's.
type Engine struct{ tensor.StdEng }

// A matrix is a 2-d tensor as [Gemm] wants it.
type matrix struct {
	data       []float32
	rows, cols int
	ld         int
	trans      bool // data holds the transpose
}

func matrixOf(op, name string, t tensor.Tensor) (matrix, error) {
	data, err := floatsOf(op, name, t)
	if err != nil {
		return matrix{}, err
	}
	shape, strides := t.Shape(), t.Strides()
	if len(shape) == 1 {
		shape, strides = tensor.Shape{shape[0], 1}, []int{strides[0], 1}
	}
	if len(shape) != 2 || len(strides) != 2 {
		return matrix{}, fmt.Errorf("simd: engine %s: %s has shape %v and strides %v, want a matrix: %w", op, name, t.Shape(), t.Strides(), ErrLayout)
	}
	m := matrix{data: data, rows: shape[0], cols: shape[1], ld: shape[1]}
	switch {
	case (m.rows == 1 || strides[0] == m.cols) && (m.cols == 1 || strides[1] == 1):
	case (m.cols == 1 || strides[1] == m.rows) && (m.rows == 1 || strides[0] == 1):
		m.trans, m.ld = true, m.rows
	default:
		return matrix{}, gap(op, name, t)
	}
	if len(data) < m.rows*m.cols {
		return matrix{}, gap(op, name, t)
	}
	return m, nil
}

func gap(op, name string, t tensor.Tensor) error {
	return fmt.Errorf("simd: engine %s: %s is a view with gaps (shape %v, strides %v); clone it to make it contiguous: %w",
		op, name, t.Shape(), t.Strides(), ErrLayout)
}

func floatsOf(op, name string, t tensor.Tensor) ([]float32, error) {
	if data, ok := t.Data().([]float32); ok {
		return data, nil
	}
	return nil, fmt.Errorf("simd: engine %s: %s holds %v, want a tensor of float32: %w", op, name, t.Dtype(), ErrLayout)
}

// MatMul computes out = a·b with [Gemm]; out must be contiguous and row-major.
func (e Engine) MatMul(a, b, out tensor.Tensor) error { return product("MatMul", a, b, out) }

// MatVecMul computes out = a·b for a matrix a and a vector b.
func (e Engine) MatVecMul(a, b, out tensor.Tensor) error {
	x, err := matrixOf("MatVecMul", "the vector", b)
	if err != nil {
		return err
	}
	if x.rows == 1 { // a row vector serves as well
		x.rows, x.cols, x.ld, x.trans = x.cols, 1, 1, false
	}
	return multiply("MatVecMul", a, x, out)
}

func product(op string, a, b, out tensor.Tensor) error {
	right, err := matrixOf(op, "the right operand", b)
	if err != nil {
		return err
	}
	return multiply(op, a, right, out)
}

func multiply(op string, a tensor.Tensor, right matrix, out tensor.Tensor) error {
	left, err := matrixOf(op, "the left operand", a)
	if err != nil {
		return err
	}
	to, err := matrixOf(op, "the result", out)
	if err != nil {
		return err
	}
	if to.trans {
		return fmt.Errorf("simd: engine %s: the result is transposed (shape %v, strides %v), want row-major: %w", op, out.Shape(), out.Strides(), ErrLayout)
	}
	if left.cols != right.rows || to.rows != left.rows || to.cols != right.cols {
		return fmt.Errorf("simd: engine %s: (%d, %d) times (%d, %d) does not give (%d, %d): %w",
			op, left.rows, left.cols, right.rows, right.cols, to.rows, to.cols, ErrLayout)
	}
	Gemm(left.trans, right.trans, left.rows, right.cols, left.cols, 1, left.data, left.ld, right.data, right.ld, 0, to.data, to.ld)
	return nil
}

// Outer computes out = a·bᵀ for vectors a and b.
func (e Engine) Outer(a, b, out tensor.Tensor) error {
	x, err := vectorOf("Outer", "the left vector", a)
	if err != nil {
		return err
	}
	y, err := vectorOf("Outer", "the right vector", b)
	if err != nil {
		return err
	}
	to, err := matrixOf("Outer", "the result", out)
	if err != nil {
		return err
	}
	if to.trans || to.rows != len(x) || to.cols != len(y) {
		return fmt.Errorf("simd: engine Outer: the result is %v, want row-major (%d, %d): %w", out.Shape(), len(x), len(y), ErrLayout)
	}
	Gemm(false, false, len(x), len(y), 1, 1, x, 1, y, max(len(y), 1), 0, to.data, to.ld)
	return nil
}

// Inner returns Σ a·b of two vectors with [Dot].
func (e Engine) Inner(a, b tensor.Tensor) (float32, error) {
	x, err := vectorOf("Inner", "the left vector", a)
	if err != nil {
		return 0, err
	}
	y, err := vectorOf("Inner", "the right vector", b)
	if err != nil {
		return 0, err
	}
	if len(x) != len(y) {
		return 0, fmt.Errorf("simd: engine Inner: vectors of %d and %d elements: %w", len(x), len(y), ErrLayout)
	}
	return Dot(x, y), nil
}

func vectorOf(op, name string, t tensor.Tensor) ([]float32, error) {
	m, err := matrixOf(op, name, t)
	if err != nil {
		return nil, err
	}
	if m.rows != 1 && m.cols != 1 {
		return nil, fmt.Errorf("simd: engine %s: %s has shape %v, want a vector: %w", op, name, t.Shape(), ErrLayout)
	}
	return m.data[:m.rows*m.cols], nil
}
