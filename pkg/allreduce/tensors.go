package allreduce

import (
	"fmt"

	"gorgonia.org/tensor"
)

// checkOwn returns an error unless own holds one contiguous row-major tensor for each owned virtual rank, all of one shape and type.
func (g *Group) checkOwn(own []*tensor.Dense) error {
	lo, hi := g.Owned()
	if len(own) != hi-lo {
		return fmt.Errorf("%d tensors; expected one for each owned virtual rank, %d–%d", len(own), lo, hi-1)
	}
	for i, t := range own {
		if t == nil {
			return fmt.Errorf("tensor of virtual rank %d is nil", lo+i)
		}
		if !t.Shape().Eq(own[0].Shape()) || t.Dtype() != own[0].Dtype() {
			return fmt.Errorf("tensor of virtual rank %d is %v of %v; that of virtual rank %d is %v of %v; expected the same",
				lo+i, t.Shape(), t.Dtype(), lo, own[0].Shape(), own[0].Dtype())
		}
		if !rowMajor(t) {
			return fmt.Errorf("tensor of virtual rank %d is a view with strides %v of shape %v; expected a contiguous row-major tensor (materialize it)",
				lo+i, t.Strides(), t.Shape())
		}
	}
	return nil
}

// rowMajor says whether a tensor's elements lie one after the other in the order of its indices.
func rowMajor(t *tensor.Dense) bool {
	shape, strides := t.Shape(), t.Strides()
	if t.IsMasked() || shape.TotalSize() != t.DataSize() && shape.Dims() > 0 {
		return false
	}
	step := 1
	for i := shape.Dims() - 1; i >= 0; i-- {
		// A column-sliced vector keeps fewer strides than axes; an axis of length 1 has no say.
		if shape[i] != 1 && (i >= len(strides) || strides[i] != step) {
			return false
		}
		step *= shape[i]
	}
	return true
}

// float32s is checkOwn for float32 tensors; it returns their elements.
func (g *Group) float32s(own []*tensor.Dense) ([][]float32, error) {
	if err := g.checkOwn(own); err != nil {
		return nil, err
	}
	if own[0].Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("tensors of %v; expected float32", own[0].Dtype())
	}
	values := make([][]float32, len(own))
	for i, t := range own {
		values[i] = t.Float32s()
	}
	return values, nil
}

// newLike makes a float32 tensor of the given shape over values.
func newLike(shape tensor.Shape, values []float32) *tensor.Dense {
	if shape.Dims() == 0 {
		return tensor.New(tensor.FromScalar(values[0]))
	}
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(values))
}

// memory views a tensor's elements as bytes.
func memory(t *tensor.Dense) ([]byte, error) {
	switch t.Dtype() {
	case tensor.Float32:
		return bytesOf(t.Float32s()), nil
	case tensor.Float64:
		return bytesOf(t.Float64s()), nil
	case tensor.Int32:
		return bytesOf(t.Int32s()), nil
	case tensor.Int64:
		return bytesOf(t.Int64s()), nil
	case tensor.Uint64:
		return bytesOf(t.Uint64s()), nil
	}
	return nil, fmt.Errorf("tensors of %v; expected float32, float64, int32, int64 or uint64", t.Dtype())
}
