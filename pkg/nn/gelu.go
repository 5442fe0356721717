package nn

import "github.com/sslctl/sslctl/pkg/simd"

// gelu is x·Φ(x); its input becomes the derivative, which backward needs.
type gelu struct{ y, slope []float32 }

func (l *gelu) forward(_ *pass, x []float32) []float32 {
	l.slope = x
	y := grow(&l.y, len(x))
	simd.GELU(y, x, x)
	return y
}

func (l *gelu) backward(_ *pass, dy []float32, _ bool) []float32 {
	simd.Mul(dy, l.slope)
	return dy
}
