package nn

import "github.com/sslctl/sslctl/pkg/simd"

// conv is a square convolution without bias over NHWC maps; its weights are (K, K, Cin, Cout).
type conv struct {
	geometry simd.Conv // N is set in each forward
	weight   slot
	x, y     []float32
}

// conv adds a k×k convolution from in to out channels over maps of h×w, with zero padding of k/2.
func (b *builder) conv(name string, h, w, in, out, k, stride int) *conv {
	return &conv{
		geometry: simd.Conv{H: h, W: w, Cin: in, Cout: out, K: k, Stride: stride, Pad: k / 2},
		weight:   b.params.add(name+".weight", true, kaimingNormal(out*k*k), k, k, in, out),
	}
}

func (l *conv) forward(p *pass, x []float32) []float32 {
	g := &l.geometry
	g.N = p.n
	l.x = x
	y := grow(&l.y, g.N*g.OutH()*g.OutW()*g.Cout)
	g.Forward(y, x, l.weight.of(p.params))
	return y
}

func (l *conv) backward(p *pass, dy []float32, input bool) []float32 {
	g := &l.geometry
	g.BackwardWeights(l.weight.of(p.grad), dy, l.x)
	if !input {
		return nil
	}
	dx := p.borrow(g.N * g.H * g.W * g.Cin)
	g.BackwardData(dx, dy, l.weight.of(p.params))
	return dx
}

// normConv is a norm and the convolution behind it. The norm's output is made a second time for the convolution's gradient, which costs no more
// than reading it: between the passes it takes no memory.
type normConv struct {
	norm *norm
	conv *conv
}

func (l *normConv) forward(p *pass, x []float32) []float32 {
	l.norm.prepare(p, x)
	between := p.borrow(len(x))
	l.norm.write(between)
	y := l.conv.forward(p, between)
	p.giveBack(between)
	return y
}

func (l *normConv) backward(p *pass, dy []float32, _ bool) []float32 {
	g := &l.conv.geometry
	between := p.borrow(len(l.norm.x))
	l.norm.write(between)
	g.BackwardWeights(l.conv.weight.of(p.grad), dy, between)
	g.BackwardData(between, dy, l.conv.weight.of(p.params))
	return l.norm.backward(p, between, true)
}
