package nn

import "github.com/sslctl/sslctl/pkg/simd"

// linear is y = x·Wᵀ + b with W (out, in), as torch.nn.Linear, for each row of a sample.
type linear struct {
	rows         int // of a sample: its tokens, or 1
	in, out      int
	weight, bias slot // bias.len is 0 without bias
	x            []float32
	y            []float32
}

func (b *builder) linear(name string, in, out int, bias bool) *linear {
	l := &linear{rows: 1, in: in, out: out, weight: b.params.add(name+".weight", true, uniformFanIn(in), out, in)}
	if bias {
		l.bias = b.params.add(name+".bias", false, uniformFanIn(in), out)
	}
	return l
}

// perToken adds a linear layer over each of a sample's tokens, with the initial values of timm's vision transformers.
func (b *builder) perToken(name string, tokens, in, out int) *linear {
	return &linear{
		rows: tokens, in: in, out: out,
		weight: b.params.add(name+".weight", true, normal(tokenStd), out, in),
		bias:   b.params.add(name+".bias", false, constant(0), out),
	}
}

func (l *linear) forward(p *pass, x []float32) []float32 {
	y := l.product(p, x)
	if l.bias.len > 0 {
		simd.AddRow(y, l.bias.of(p.params), p.n*l.rows, l.out)
	}
	return y
}

// product is x·Wᵀ, for those who add the bias with what comes next.
func (l *linear) product(p *pass, x []float32) []float32 {
	l.x = x
	n := p.n * l.rows
	y := grow(&l.y, n*l.out)
	simd.Gemm(false, true, n, l.out, l.in, 1, x, l.in, l.weight.of(p.params), l.in, 0, y, l.out)
	return y
}

// backward leaves dy as it is.
func (l *linear) backward(p *pass, dy []float32, input bool) []float32 {
	if l.bias.len > 0 {
		simd.ColumnSum(l.bias.of(p.grad), dy, p.n*l.rows, l.out)
	}
	return l.productBackward(p, dy, input)
}

// productBackward is backward without the bias.
func (l *linear) productBackward(p *pass, dy []float32, input bool) []float32 {
	n := p.n * l.rows
	simd.Gemm(true, false, l.out, l.in, n, 1, dy, l.out, l.x, l.in, 0, l.weight.of(p.grad), l.in)
	if !input {
		return nil
	}
	dx := p.borrow(n * l.in)
	simd.Gemm(false, false, n, l.in, l.out, 1, dy, l.out, l.weight.of(p.params), l.in, 0, dx, l.in)
	return dx
}
