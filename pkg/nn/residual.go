package nn

import "github.com/sslctl/sslctl/pkg/simd"

// residual is x + branch(x). The branch begins with a layer norm, which leaves x alone, and ends with a linear layer, which doesn't need its
// output.
type residual struct{ branch sequence }

func (l *residual) forward(p *pass, x []float32) []float32 {
	y := l.branch.forward(p, x)
	simd.Add(y, x)
	return y
}

func (l *residual) backward(p *pass, dy []float32, _ bool) []float32 {
	enters := p.borrow(len(dy))
	copy(enters, dy)
	dx := l.branch.backward(p, enters, true)
	simd.Add(dx, dy)
	p.giveBack(enters)
	return dx
}
