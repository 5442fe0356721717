package nn

import "github.com/sslctl/sslctl/pkg/simd"

// linearGELU is a linear layer and x·Φ(x) behind it. What enters GELU becomes the derivative, which backward needs.
type linearGELU struct {
	*linear
	activated []float32
}

func (l *linearGELU) forward(p *pass, x []float32) []float32 {
	x = l.product(p, x)
	y := grow(&l.activated, len(x))
	simd.AddRowGELU(y, x, l.bias.of(p.params), p.n*l.rows, l.out)
	return y
}

func (l *linearGELU) backward(p *pass, dy []float32, input bool) []float32 {
	simd.MulColumnSum(l.bias.of(p.grad), dy, l.y, p.n*l.rows, l.out)
	return l.productBackward(p, dy, input)
}
