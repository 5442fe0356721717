package nn

import "github.com/sslctl/sslctl/pkg/simd"

// tokenNormEps is added to every variance of a layer norm, as timm's vision transformers do.
const tokenNormEps = 1e-6

// layerNorm normalises each row of (rows, width) by its own mean and variance.
type layerNorm struct {
	rows, width     int // rows of one sample: its tokens, or 1
	gamma, beta     slot
	y, xhat, invStd []float32
}

func (b *builder) layerNorm(name string, rows, width int) *layerNorm {
	return &layerNorm{
		rows: rows, width: width,
		gamma: b.params.add(name+".weight", false, constant(1), width),
		beta:  b.params.add(name+".bias", false, constant(0), width),
	}
}

func (l *layerNorm) forward(p *pass, x []float32) []float32 {
	rows := p.n * l.rows
	y := grow(&l.y, len(x))
	simd.LayerNorm(y, grow(&l.xhat, len(x)), grow(&l.invStd, rows), x, l.gamma.of(p.params), l.beta.of(p.params), rows, l.width, tokenNormEps)
	return y
}

func (l *layerNorm) backward(p *pass, dy []float32, _ bool) []float32 {
	rows := p.n * l.rows
	simd.ColumnDot(l.gamma.of(p.grad), dy, l.xhat, rows, l.width)
	simd.ColumnSum(l.beta.of(p.grad), dy, rows, l.width)
	simd.LayerNormBackward(dy, dy, l.xhat, l.invStd, l.gamma.of(p.params), rows, l.width)
	return dy
}
