package nn

import "github.com/sslctl/sslctl/pkg/simd"

// residual is x + last(inner(norm(x))), one half of a pre-norm transformer's block.
type residual struct {
	norm  *layerNorm
	inner sequence
	last  *linear
}

func (l *residual) forward(p *pass, x []float32) []float32 {
	y := l.last.product(p, l.inner.forward(p, l.norm.forward(p, x)))
	simd.AddRowAndMatrix(y, l.last.bias.of(p.params), x, p.n*l.last.rows, l.last.out)
	return y
}

func (l *residual) backward(p *pass, dy []float32, _ bool) []float32 {
	inside := l.last.backward(p, dy, true)
	dx := l.inner.backward(p, inside, true)
	if !alike(dx, inside) {
		p.giveBack(inside)
	}
	l.norm.backwardAdd(p, dx, dy)
	return dx
}
