package nn

import "github.com/sslctl/sslctl/pkg/simd"

// normGroups is the number of channel groups of a group norm, as its authors have it; fewer channels are one group each.
const normGroups = 32

// groupNorm normalises each sample by itself, channel group by channel group, overwriting its input in training (Wu and He, "Group
// normalization", ECCV 2018). It has no running statistics and does the same in training and evaluation.
type groupNorm struct {
	rows, channels, groups int // rows of one sample: height × width of its map
	gamma, beta            slot

	xhat, y    []float32
	invStd     []float32 // (samples, channels), alike within a group
	s0, s1, s2 []float32 // one value a channel
}

func (b *builder) groupNorm(name string, rows, channels int) *groupNorm {
	return &groupNorm{
		rows: rows, channels: channels, groups: min(normGroups, channels),
		gamma: b.params.add(name+".weight", false, constant(1), channels),
		beta:  b.params.add(name+".bias", false, constant(0), channels),
		s0:    make([]float32, channels), s1: make([]float32, channels), s2: make([]float32, channels),
	}
}

// pool replaces each channel's sum by the mean over the elements of its group in one sample.
func (l *groupNorm) pool(sums []float32) {
	width := l.channels / l.groups
	for g := 0; g < l.channels; g += width {
		var total float32
		for _, v := range sums[g : g+width] {
			total += v
		}
		total /= float32(l.rows * width)
		for c := range sums[g : g+width] {
			sums[g+c] = total
		}
	}
}

func (l *groupNorm) forward(p *pass, x []float32) []float32 {
	y := grow(&l.y, len(x))
	invStd := grow(&l.invStd, p.n*l.channels)
	l.xhat = x
	gamma, beta := l.gamma.of(p.params), l.beta.of(p.params)
	size := l.rows * l.channels
	for s := range p.n {
		x, y := x[s*size:(s+1)*size], y[s*size:(s+1)*size]
		mean, variance, inv := l.s0, l.s1, invStd[s*l.channels:(s+1)*l.channels]
		simd.ColumnSum(mean, x, l.rows, l.channels)
		l.pool(mean)
		simd.ColumnSqDev(variance, x, mean, l.rows, l.channels)
		l.pool(variance)
		for c, v := range variance {
			inv[c] = inverseStd(v)
			mean[c] *= -inv[c]
		}
		simd.ScaleShift(x, x, inv, mean, l.rows, l.channels)
		simd.ScaleShift(y, x, gamma, beta, l.rows, l.channels)
	}
	return y
}

// backward is that of batch norm with γ inside the means: with g = γ·dy and means over the group,
// ∂L/∂x = (g − mean(g) − x̂·mean(g·x̂))/√(var + eps).
func (l *groupNorm) backward(p *pass, dy []float32, _ bool) []float32 {
	gamma := l.gamma.of(p.params)
	dGamma, dBeta := l.gamma.of(p.grad), l.beta.of(p.grad)
	clear(dGamma)
	clear(dBeta)
	size := l.rows * l.channels
	for s := range p.n {
		dy, xhat, inv := dy[s*size:(s+1)*size], l.xhat[s*size:(s+1)*size], l.invStd[s*l.channels:(s+1)*l.channels]
		sum, dot, scale := l.s0, l.s1, l.s2
		simd.ColumnSum(sum, dy, l.rows, l.channels)
		simd.ColumnDot(dot, dy, xhat, l.rows, l.channels)
		simd.Add(dBeta, sum)
		simd.Add(dGamma, dot)
		simd.Mul(sum, gamma)
		simd.Mul(dot, gamma)
		l.pool(sum)
		l.pool(dot)
		for c := range scale {
			scale[c] = gamma[c] * inv[c]
			sum[c] *= -inv[c]
			dot[c] *= -inv[c]
		}
		simd.Affine2(dy, dy, xhat, scale, dot, sum, l.rows, l.channels)
	}
	return dy
}
