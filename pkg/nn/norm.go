package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// normEps is added to every variance, as torch.nn.BatchNorm2d and GroupNorm do.
const normEps = 1e-5

// norm normalises the channels of (rows, channels) maps, perhaps with a ReLU behind: batch norm or group norm (see builder.batchNorm and
// builder.groupNorm). What shares its statistics, a stratum, is a contiguous run of samples, and a run of channels. The input stays, and backward needs it; the
// output can be made again from it, so that only layers that keep nothing of their own need it to live on.
type norm struct {
	rows, channels int // rows of one sample: height × width of its map
	pooled         int // channels that share their statistics
	relu           bool
	gamma, beta    slot
	batch          *runningStats // nil: samples are normalised each by itself

	x, y          []float32
	strata        simd.Columns
	mean, invStd  []float32 // (strata, channels)
	factor, shift []float32 // (strata, channels): y = x·factor + shift
	sum, dot      []float32 // (strata, channels): in backward, of the gradient and of its product with x − mean
}

// runningStats is what only batch norm has: the place of its running statistics and those of the last training batch.
type runningStats struct {
	mean, variance      slot      // in the running arena
	batchMean, batchVar []float32 // means over the strata of their means and unbiased variances
}

func (b *builder) affineNorm(name string, rows, channels, pooled int) *norm {
	return &norm{
		rows: rows, channels: channels, pooled: pooled,
		gamma: b.params.add(name+".weight", false, constant(1), channels),
		beta:  b.params.add(name+".bias", false, constant(0), channels),
	}
}

// norm adds the norm of a convolution's maps.
func (b *builder) norm(name string, rows, channels int) *norm {
	if b.groupNorms {
		return b.groupNorm(name, rows, channels)
	}
	return b.batchNorm(name, rows, channels)
}

// rectified puts a ReLU behind the norm.
func (l *norm) rectified() *norm {
	l.relu = true
	return l
}

func (l *norm) forward(p *pass, x []float32) []float32 {
	l.prepare(p, x)
	y := grow(&l.y, len(x))
	l.write(y)
	return y
}

// write computes the output.
func (l *norm) write(y []float32) {
	if l.relu {
		l.strata.ScaleShiftReLU(y, l.x, l.factor, l.shift)
		return
	}
	l.strata.ScaleShift(y, l.x, l.factor, l.shift)
}

// prepare sets factor and shift for an input, and the statistics where they are the input's own.
func (l *norm) prepare(p *pass, x []float32) {
	l.x = x
	if l.batch != nil && !p.train {
		l.strata = simd.Columns{Groups: 1, Rows: p.n * l.rows, Cols: l.channels}
		l.sizes()
		l.batch.take(p, l)
		l.setFactors(p)
		return
	}
	l.strata = simd.Columns{Groups: p.n, Rows: l.rows, Cols: l.channels}
	if l.batch != nil {
		l.strata.Groups, l.strata.Rows = p.groups, p.n/p.groups*l.rows
	}
	l.sizes()
	l.strata.Moments(l.mean, l.invStd, x)
	if l.batch != nil {
		l.batch.keep(l)
	}
	l.poolMoments()
	l.setFactors(p)
}

func (l *norm) sizes() {
	n := l.strata.Groups * l.channels
	for _, s := range []*[]float32{&l.mean, &l.invStd, &l.factor, &l.shift, &l.sum, &l.dot} {
		grow(s, n)
	}
}

// poolMoments turns each channel's mean and squared distances into the mean and 1/√(var + eps) of what it shares its statistics with.
func (l *norm) poolMoments() {
	rows, width := float64(l.strata.Rows), float64(l.pooled)
	for at := 0; at < len(l.mean); at += l.pooled {
		mean, squares := 0.0, 0.0
		for _, m := range l.mean[at : at+l.pooled] {
			mean += float64(m) / width
		}
		for i, sq := range l.invStd[at : at+l.pooled] {
			d := float64(l.mean[at+i]) - mean
			squares += float64(sq) + float64(rows*float64(d*d))
		}
		inv := inverseStd(squares / (rows * width))
		for i := range l.pooled {
			l.mean[at+i], l.invStd[at+i] = float32(mean), inv
		}
	}
}

func (l *norm) setFactors(p *pass) {
	gamma, beta := l.gamma.of(p.params), l.beta.of(p.params)
	for at, mean := range l.mean {
		c := at % l.channels
		l.factor[at] = gamma[c] * l.invStd[at]
		l.shift[at] = beta[c] - float32(mean*l.factor[at])
	}
}

// backward overwrites dy.
func (l *norm) backward(p *pass, dy []float32, _ bool) []float32 {
	if l.relu {
		l.strata.SumDotDevReLU(l.sum, l.dot, dy, l.x, l.factor, l.shift, l.mean)
		l.finishSums(p)
		l.strata.Affine2Masked(dy, dy, l.x, l.factor, l.shift, l.dot, l.sum)
		return dy
	}
	l.strata.SumDotDev(l.sum, l.dot, dy, l.x, l.mean)
	l.finishSums(p)
	l.strata.Affine2(dy, dy, l.x, l.factor, l.dot, l.sum)
	return dy
}

// finishSums writes the gradients of the parameters and turns sum and dot into the factors of the input's gradient. With x̂ the normalised input, g = γ·dy and
// means over what shares its statistics: ∂L/∂γ = Σ dy·x̂, ∂L/∂β = Σ dy, ∂L/∂x = (g − mean(g) − x̂·mean(g·x̂))/√(var + eps), which is
// dy·factor + (x·dot + sum).
func (l *norm) finishSums(p *pass) {
	gamma, dGamma, dBeta := l.gamma.of(p.params), l.gamma.of(p.grad), l.beta.of(p.grad)
	clear(dGamma)
	clear(dBeta)
	size := float64(l.strata.Rows * l.pooled)
	for at := 0; at < len(l.sum); at += l.pooled {
		meanG, meanDot := 0.0, 0.0
		for i := at; i < at+l.pooled; i++ {
			c := i % l.channels
			dBeta[c] += l.sum[i]
			dGamma[c] += float32(l.dot[i] * l.invStd[i])
			meanG += float64(float64(l.sum[i]) * float64(gamma[c]))
			meanDot += float64(float64(l.dot[i]) * float64(gamma[c]))
		}
		inv := float64(l.invStd[at])
		slope := -float64(float64(inv*inv)*inv) * meanDot / size
		level := -float64(inv*meanG)/size - float64(slope*float64(l.mean[at]))
		for i := at; i < at+l.pooled; i++ {
			l.dot[i], l.sum[i] = float32(slope), float32(level)
		}
	}
}

// inverseStd is 1/√(variance + eps), rounded once from float64.
func inverseStd(variance float64) float32 { return float32(1 / math.Sqrt(variance+normEps)) }
