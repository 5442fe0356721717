package task

import "gorgonia.org/tensor"

// stack puts the views of a micro-batch below each other, (2n, H, W, C), in a buffer that it keeps.
type stack struct{ images *tensor.Dense }

func (s *stack) of(b Batch) *tensor.Dense {
	first, second := b.Fields["view1"], b.Fields["view2"]
	if s.images == nil {
		shape := first.Shape().Clone()
		shape[0] *= 2
		s.images = zeros(shape...)
	}
	copy(s.images.Float32s()[copy(s.images.Float32s(), first.Float32s()):], second.Float32s())
	return s.images
}

// byView are the rows of the first and of the second views, where of yields those of both.
func byView(of func(i int) []float32) []func(i int) []float32 {
	return []func(i int) []float32{
		func(i int) []float32 { return of(i)[:len(of(i))/2] },
		func(i int) []float32 { return of(i)[len(of(i))/2:] },
	}
}
