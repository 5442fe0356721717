package nn

import "github.com/sslctl/sslctl/pkg/simd"

// tokenNormEps is added to every variance of a layer norm, as timm's vision transformers do.
const tokenNormEps = 1e-6

// layerNorm normalises each row of (rows, width) by its own mean and variance. Its input must stay until backward.
type layerNorm struct {
	rows, width        int // rows of one sample: its tokens, or 1
	gamma, beta        slot
	x, y, mean, invStd []float32
}

func (b *builder) layerNorm(name string, rows, width int) *layerNorm {
	return &layerNorm{
		rows: rows, width: width,
		gamma: b.params.add(name+".weight", false, constant(1), width),
		beta:  b.params.add(name+".bias", false, constant(0), width),
	}
}

func (l *layerNorm) forward(p *pass, x []float32) []float32 {
	l.x = x
	rows := p.n * l.rows
	y := grow(&l.y, len(x))
	simd.LayerNorm(y, grow(&l.mean, rows), grow(&l.invStd, rows), x, l.gamma.of(p.params), l.beta.of(p.params), rows, l.width, tokenNormEps)
	return y
}

func (l *layerNorm) backward(p *pass, dy []float32, _ bool) []float32 {
	l.backwardAdd(p, dy, nil)
	return dy
}

// backwardAdd overwrites dy with the gradient of the input, to which it adds that of another use of the input: nil for none.
func (l *layerNorm) backwardAdd(p *pass, dy, residual []float32) {
	simd.LayerNormBackward(dy, l.gamma.of(p.grad), l.beta.of(p.grad), dy, residual, l.x, l.mean, l.invStd, l.gamma.of(p.params), p.n*l.rows, l.width)
}
