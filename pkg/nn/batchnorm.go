package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// normEps is added to every variance, as torch.nn.BatchNorm does.
const normEps = 1e-5

// batchNorm normalises each channel of (rows, channels), overwriting its input in training (Ioffe and Szegedy, "Batch normalization",
// ICML 2015). In training each of the pass's groups, a contiguous run of samples, is normalised by its own statistics; in
// evaluation the running ones serve.
type batchNorm struct {
	rows, channels int // rows of one sample: height × width of its map
	gamma, beta    slot
	mean, variance slot // in the running arena

	xhat, y    []float32 // normalised input, which lies where the input lay; output
	invStd     []float32 // (groups, channels): 1/√(var + eps)
	batchMean  []float32 // mean over the groups of their means
	batchVar   []float32 // mean over the groups of their unbiased variances
	s0, s1, s2 []float32 // one value a channel
}

func (b *builder) batchNorm(name string, rows, channels int) *batchNorm {
	l := &batchNorm{
		rows: rows, channels: channels,
		gamma:     b.params.add(name+".weight", false, constant(1), channels),
		beta:      b.params.add(name+".bias", false, constant(0), channels),
		mean:      b.running.add(name+".running_mean", false, constant(0), channels),
		variance:  b.running.add(name+".running_var", false, constant(1), channels),
		batchMean: make([]float32, channels), batchVar: make([]float32, channels),
		s0: make([]float32, channels), s1: make([]float32, channels), s2: make([]float32, channels),
	}
	b.norms = append(b.norms, l)
	return l
}

func (l *batchNorm) forward(p *pass, x []float32) []float32 {
	y := grow(&l.y, len(x))
	if !p.train {
		l.evaluate(p, y, x)
		return y
	}
	l.xhat = x
	gamma, beta := l.gamma.of(p.params), l.beta.of(p.params)
	invStd := grow(&l.invStd, p.groups*l.channels)
	clear(l.batchMean)
	clear(l.batchVar)
	rows := p.n / p.groups * l.rows
	size := rows * l.channels
	for g := range p.groups {
		x, y := x[g*size:(g+1)*size], y[g*size:(g+1)*size]
		inv := invStd[g*l.channels : (g+1)*l.channels]
		shift := l.statistics(x, rows, inv)
		simd.ScaleShift(x, x, inv, shift, rows, l.channels)
		simd.ScaleShift(y, x, gamma, beta, rows, l.channels)
	}
	simd.Scale(l.batchMean, 1/float32(p.groups))
	simd.Scale(l.batchVar, 1/float32(p.groups))
	return y
}

// statistics writes 1/√(var + eps) of each channel of one group to inv, adds the group's mean and unbiased variance to batchMean and
// batchVar, and returns −mean·inv.
func (l *batchNorm) statistics(x []float32, rows int, inv []float32) (shift []float32) {
	mean, dev, shift := l.s0, l.s1, l.s2
	simd.ColumnSum(mean, x, rows, l.channels)
	n := float32(rows)
	for c := range mean {
		mean[c] /= n
	}
	simd.ColumnSqDev(dev, x, mean, rows, l.channels)
	for c, d := range dev {
		inv[c] = inverseStd(d / n)
		shift[c] = -float32(mean[c] * inv[c])
		l.batchMean[c] += mean[c]
		l.batchVar[c] += d / (n - 1)
	}
	return shift
}

func (l *batchNorm) evaluate(p *pass, y, x []float32) {
	scale, shift := l.s0, l.s1
	gamma, beta := l.gamma.of(p.params), l.beta.of(p.params)
	mean, variance := l.mean.of(p.running), l.variance.of(p.running)
	for c := range scale {
		scale[c] = gamma[c] * inverseStd(variance[c])
		shift[c] = beta[c] - float32(mean[c]*scale[c])
	}
	simd.ScaleShift(y, x, scale, shift, p.n*l.rows, l.channels)
}

// backward uses, with x̂ the normalised input, s = γ/√(var+eps) and sums over the m rows of a group:
// ∂L/∂γ = Σ dy·x̂, ∂L/∂β = Σ dy, ∂L/∂x = s·(dy − (Σ dy)/m − x̂·(Σ dy·x̂)/m).
func (l *batchNorm) backward(p *pass, dy []float32, _ bool) []float32 {
	gamma := l.gamma.of(p.params)
	dGamma, dBeta := l.gamma.of(p.grad), l.beta.of(p.grad)
	clear(dGamma)
	clear(dBeta)
	rows := p.n / p.groups * l.rows
	size := rows * l.channels
	n := float32(rows)
	for g := range p.groups {
		dy, xhat := dy[g*size:(g+1)*size], l.xhat[g*size:(g+1)*size]
		inv := l.invStd[g*l.channels : (g+1)*l.channels]
		sum, dot, scale := l.s0, l.s1, l.s2
		simd.ColumnSum(sum, dy, rows, l.channels)
		simd.ColumnDot(dot, dy, xhat, rows, l.channels)
		simd.Add(dBeta, sum)
		simd.Add(dGamma, dot)
		for c := range scale {
			scale[c] = gamma[c] * inv[c]
			sum[c] *= -scale[c] / n
			dot[c] *= -scale[c] / n
		}
		simd.Affine2(dy, dy, xhat, scale, dot, sum, rows, l.channels)
	}
	return dy
}

// inverseStd is 1/√(variance + eps), rounded once from float64.
func inverseStd(variance float32) float32 { return float32(1 / math.Sqrt(float64(variance)+normEps)) }
