package nn

import "github.com/sslctl/sslctl/pkg/simd"

// relu is max(x, 0), in place. Its gradient at 0 is 0.
type relu struct{ y []float32 }

func (l *relu) forward(_ *pass, x []float32) []float32 {
	simd.ReLU(x, x)
	l.y = x
	return x
}

func (l *relu) backward(_ *pass, dy []float32, _ bool) []float32 {
	simd.ReLUBackward(dy, dy, l.y)
	return dy
}
