package simd

import "sync"

// elementsSmall is the number of elements below which an elementwise operation is not worth a second thread, elementsUnit that of a unit of work.
const (
	elementsSmall = 1 << 17
	elementsUnit  = 1 << 14
)

// An elementsRun is an operation on the elements of up to three vectors in progress. It is pooled, with its step bound once, so that it allocates
// nothing.
type elementsRun struct {
	a, b, c []float32
	kernel  func(a, b, c []float32)
	step    func(int)
}

var elementsRuns = sync.Pool{New: func() any {
	r := new(elementsRun)
	r.step = r.unit
	return r
}}

// elements calls the kernel for all of three vectors of one length, on several threads where they are long. No element may depend on others.
func elements(a, b, c []float32, kernel func(a, b, c []float32)) {
	if len(a) < elementsSmall {
		kernel(a, b, c)
		return
	}
	r := elementsRuns.Get().(*elementsRun)
	r.a, r.b, r.c, r.kernel = a, b, c, kernel
	Parallel((len(a)+elementsUnit-1)/elementsUnit, r.step)
	r.a, r.b, r.c, r.kernel = nil, nil, nil, nil
	elementsRuns.Put(r)
}

func (r *elementsRun) unit(i int) {
	lo, hi := i*elementsUnit, min((i+1)*elementsUnit, len(r.a))
	r.kernel(r.a[lo:hi], r.b[lo:hi], r.c[lo:hi])
}
