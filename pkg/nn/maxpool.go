package nn

import "github.com/sslctl/sslctl/pkg/simd"

// normMaxPool is a norm and the maximum over square windows behind it, as torch.nn.MaxPool2d. What lies between takes no memory after a pass: the
// maximum notes where it found each value.
type normMaxPool struct {
	norm     *norm
	geometry simd.Pool // N is set in each forward
	y        []float32
	taps     []uint8
}

func (l *normMaxPool) forward(p *pass, x []float32) []float32 {
	g := &l.geometry
	g.N = p.n
	l.norm.prepare(p, x)
	between := p.borrow(len(x))
	l.norm.write(between)
	y := grow(&l.y, g.N*g.OutH()*g.OutW()*g.C)
	g.Max(y, grow(&l.taps, len(y)), between)
	p.giveBack(between)
	return y
}

func (l *normMaxPool) backward(p *pass, dy []float32, _ bool) []float32 {
	g := &l.geometry
	dx := p.borrow(g.N * g.H * g.W * g.C)
	g.MaxBackward(dx, dy, l.taps)
	return l.norm.backward(p, dx, true)
}
