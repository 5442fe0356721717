package simd

import "gorgonia.org/tensor"

// Add computes a + b of one shape, element by element. Options are those of the standard engine.
func (e Engine) Add(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.elementwise(a, b, opts, addTo, e.StdEng.Add)
}

// Sub computes a − b of one shape, element by element.
func (e Engine) Sub(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.elementwise(a, b, opts, func(dst, x []float32) { axpy(dst, -1, x) }, e.StdEng.Sub)
}

// Mul computes a · b of one shape, element by element.
func (e Engine) Mul(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.elementwise(a, b, opts, mulBy, e.StdEng.Mul)
}

// MulScalar computes a · b for a number b.
func (e Engine) MulScalar(a tensor.Tensor, b any, left bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	factor, ok := b.(float32)
	if !ok {
		return e.StdEng.MulScalar(a, b, left, opts...)
	}
	return e.elementwise(a, a, opts, func(dst, _ []float32) { scale(dst, factor) }, func(tensor.Tensor, tensor.Tensor, ...tensor.FuncOpt) (tensor.Tensor, error) {
		return e.StdEng.MulScalar(a, b, left, opts...)
	})
}

// elementwise applies kernel to a copy of a, to a itself or to the tensor to reuse, as the options say. What the kernels do not take, other element types,
// views and transposes, mixed shapes and increments among them, the standard engine computes.
func (e Engine) elementwise(a, b tensor.Tensor, opts []tensor.FuncOpt, kernel func(dst, x []float32),
	standard func(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)) (tensor.Tensor, error) {
	x, plainA := plainFloats(a)
	y, plainB := plainFloats(b)
	if !plainA || !plainB || !a.Shape().Eq(b.Shape()) {
		return standard(a, b, opts...)
	}
	option := tensor.ParseFuncOpts(opts...)
	to, into := a, x
	switch reuse, incremented := option.IncrReuse(); {
	case incremented || option.As() != (tensor.Dtype{}):
		return standard(a, b, opts...)
	case reuse != nil:
		z, plain := plainFloats(reuse)
		if !plain || !reuse.Shape().Eq(a.Shape()) || &z[0] == &y[0] {
			return standard(a, b, opts...)
		}
		copy(z, x)
		to, into = reuse, z
	case option.Safe():
		fresh := a.Clone().(*tensor.Dense)
		to, into = fresh, fresh.Float32s()
	}
	kernel(into, y)
	return to, nil
}

// plainFloats returns the elements of a dense tensor of float32 that lies in memory row by row, without gaps.
func plainFloats(t tensor.Tensor) ([]float32, bool) {
	d, dense := t.(*tensor.Dense)
	if !dense || d.DataOrder() != 0 || d.RequiresIterator() || d.IsMasked() {
		return nil, false
	}
	data, ok := d.Data().([]float32)
	return data, ok && len(data) > 0 && len(data) == d.Shape().TotalSize()
}
