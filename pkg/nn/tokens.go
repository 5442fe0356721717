package nn

import "github.com/sslctl/sslctl/pkg/simd"

// embedding makes a sample's tokens of its patches: the class token first, then the patches (rows, width) with a bias, and to each token its position's
// vector is added.
type embedding struct {
	patches, width        int
	class, position, bias slot
	y                     []float32
}

func (l *embedding) forward(p *pass, x []float32) []float32 {
	size := (1 + l.patches) * l.width
	y := grow(&l.y, p.n*size)
	class, bias := l.class.of(p.params), l.bias.of(p.params)
	for s := range p.n {
		tokens := y[s*size : (s+1)*size]
		copy(tokens, class)
		copy(tokens[l.width:], x[s*(size-l.width):(s+1)*(size-l.width)])
		simd.AddRow(tokens[l.width:], bias, l.patches, l.width)
	}
	simd.AddRow(y, l.position.of(p.params), p.n, size)
	return y
}

func (l *embedding) backward(p *pass, dy []float32, _ bool) []float32 {
	size := (1 + l.patches) * l.width
	position := l.position.of(p.grad)
	simd.ColumnSum(position, dy, p.n, size)
	copy(l.class.of(p.grad), position)
	simd.ColumnSum(l.bias.of(p.grad), position[l.width:], l.patches, l.width)
	dx := p.borrow(p.n * (size - l.width))
	for s := range p.n {
		copy(dx[s*(size-l.width):(s+1)*(size-l.width)], dy[s*size+l.width:(s+1)*size])
	}
	return dx
}

// classToken passes on the first of a sample's tokens.
type classToken struct {
	tokens, width int
	y             []float32
}

func (l *classToken) forward(p *pass, x []float32) []float32 {
	y := grow(&l.y, p.n*l.width)
	for s := range p.n {
		copy(y[s*l.width:(s+1)*l.width], x[s*l.tokens*l.width:])
	}
	return y
}

func (l *classToken) backward(p *pass, dy []float32, _ bool) []float32 {
	dx := p.borrow(p.n * l.tokens * l.width)
	clear(dx)
	for s := range p.n {
		copy(dx[s*l.tokens*l.width:], dy[s*l.width:(s+1)*l.width])
	}
	return dx
}
