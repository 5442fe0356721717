package nn

import "github.com/sslctl/sslctl/pkg/simd"

// maxPool is the maximum over square windows, as torch.nn.MaxPool2d.
type maxPool struct {
	geometry simd.Pool // N is set in each forward
	y        []float32
	taps     []uint8
}

func (l *maxPool) forward(p *pass, x []float32) []float32 {
	g := &l.geometry
	g.N = p.n
	y := grow(&l.y, g.N*g.OutH()*g.OutW()*g.C)
	g.Max(y, grow(&l.taps, len(y)), x)
	return y
}

func (l *maxPool) backward(p *pass, dy []float32, _ bool) []float32 {
	g := &l.geometry
	dx := p.borrow(g.N * g.H * g.W * g.C)
	g.MaxBackward(dx, dy, l.taps)
	return dx
}
