package nn

import "github.com/sslctl/sslctl/pkg/simd"

// residual is x + after(last(inner(norm(x)))), one half of a pre-norm transformer's block.
type residual struct {
	norm  *layerNorm
	inner sequence
	last  *linear
	after sequence // layers that work in place
}

func (l *residual) forward(p *pass, x []float32) []float32 {
	y := l.inner.forward(p, l.norm.forward(p, x))
	if len(l.after) > 0 {
		y = l.after.forward(p, l.last.forward(p, y))
		simd.Add(y, x)
		return y
	}
	y = l.last.product(p, y)
	simd.AddRowAndMatrix(y, l.last.bias.of(p.params), x, p.n*l.last.rows, l.last.out)
	return y
}

func (l *residual) backward(p *pass, dy []float32, _ bool) []float32 {
	behind := dy
	if len(l.after) > 0 {
		behind = p.borrow(len(dy))
		copy(behind, dy)
		l.after.backward(p, behind, true)
	}
	inside := l.last.backward(p, behind, true)
	if len(l.after) > 0 {
		p.giveBack(behind)
	}
	dx := l.inner.backward(p, inside, true)
	if !alike(dx, inside) {
		p.giveBack(inside)
	}
	l.norm.backwardAdd(p, dx, dy)
	return dx
}
