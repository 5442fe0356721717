package nn

import "github.com/sslctl/sslctl/pkg/simd"

// linear is y = x·Wᵀ + b with W (out, in), as torch.nn.Linear.
type linear struct {
	in, out      int
	weight, bias slot // bias.len is 0 without bias
	x            []float32
	y, dx        []float32
}

func (b *builder) linear(name string, in, out int, bias bool) *linear {
	l := &linear{in: in, out: out, weight: b.params.add(name+".weight", true, uniformFanIn(in), out, in)}
	if bias {
		l.bias = b.params.add(name+".bias", false, uniformFanIn(in), out)
	}
	return l
}

func (l *linear) forward(p *pass, x []float32) []float32 {
	l.x = x
	y := grow(&l.y, p.n*l.out)
	simd.Gemm(false, true, p.n, l.out, l.in, 1, x, l.in, l.weight.of(p.params), l.in, 0, y, l.out)
	if l.bias.len > 0 {
		simd.AddRow(y, l.bias.of(p.params), p.n, l.out)
	}
	return y
}

func (l *linear) backward(p *pass, dy []float32, input bool) []float32 {
	simd.Gemm(true, false, l.out, l.in, p.n, 1, dy, l.out, l.x, l.in, 0, l.weight.of(p.grad), l.in)
	if l.bias.len > 0 {
		simd.ColumnSum(l.bias.of(p.grad), dy, p.n, l.out)
	}
	if !input {
		return nil
	}
	dx := grow(&l.dx, p.n*l.in)
	simd.Gemm(false, false, p.n, l.in, l.out, 1, dy, l.out, l.weight.of(p.params), l.in, 0, dx, l.in)
	return dx
}
