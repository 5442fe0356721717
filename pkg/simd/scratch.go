package simd

import "sync"

// A scratch is a reusable run of floats for packed panels. Kernels borrow one a call and give it back, so steady state allocates nothing.
type scratch struct{ buf []float32 }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func borrow() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) giveBack() { scratches.Put(s) }

// floats returns n floats of unspecified content. The run before it becomes invalid.
func (s *scratch) floats(n int) []float32 {
	if cap(s.buf) < n {
		s.buf = make([]float32, n+n/4)
	}
	return s.buf[:n]
}
