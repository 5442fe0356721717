package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// attention is multi-head self-attention without the projection behind it: a linear layer makes queries, keys and values (tokens, 3·width) of each
// sample, the heads' side by side in each of the three, and the result is softmax(q·kᵀ/√d)·v (tokens, width), d = width/heads, head by head
// (Vaswani et al., "Attention is all you need", 2017). Samples are computed side by side.
type attention struct {
	tokens, width, heads int
	scale                float32
	qkv                  *linear
	drop                 *dropout // of the softmax; nil: none

	bias     []float32
	y        []float32
	share    []float32 // (n, heads, tokens, tokens): the softmax
	dropped  []float32 // share after dropout
	used     []float32 // share or dropped: what the values are weighted by
	dy, dqkv []float32
	dShare   []float32 // as share
	attend   func(sample int)
	backOver func(sample int)
}

func newAttention(qkv *linear, drop *dropout, tokens, width, heads int) *attention {
	l := &attention{tokens: tokens, width: width, heads: heads, scale: float32(1 / math.Sqrt(float64(width/heads))), qkv: qkv, drop: drop}
	l.attend, l.backOver = l.forwardSample, l.backwardSample
	return l
}

func (l *attention) forward(p *pass, x []float32) []float32 {
	l.qkv.product(p, x)
	l.bias = l.qkv.bias.of(p.params)
	grow(&l.y, p.n*l.tokens*l.width)
	grow(&l.share, p.n*l.heads*l.tokens*l.tokens)
	l.used = l.share
	if l.drop != nil && p.train {
		l.used = grow(&l.dropped, len(l.share))
		l.drop.begin(p, l.used)
	}
	simd.Parallel(p.n, l.attend)
	return l.y
}

func (l *attention) backward(p *pass, dy []float32, input bool) []float32 {
	l.dy = dy
	l.dqkv, l.dShare = p.borrow(len(l.qkv.y)), p.borrow(len(l.share))
	if l.drop != nil {
		l.drop.data = l.dShare
	}
	simd.Parallel(p.n, l.backOver)
	p.giveBack(l.dShare)
	dx := l.qkv.backward(p, l.dqkv, input)
	p.giveBack(l.dqkv)
	return dx
}

// packed is one of queries, keys and values, or their gradients, in a sample: part 0, 1 or 2 of each token's.
func (l *attention) packed(data []float32, sample, part int) simd.Matrices {
	row := 3 * l.width
	return simd.Matrices{Data: data[sample*l.tokens*row+part*l.width:], LD: row, Inner: l.width / l.heads}
}

// merged is a sample's result, or its gradient.
func (l *attention) merged(data []float32, sample int) simd.Matrices {
	return simd.Matrices{Data: data[sample*l.tokens*l.width:], LD: l.width, Inner: l.width / l.heads}
}

// square is a sample's softmax, or its gradient.
func (l *attention) square(data []float32, sample int) (rows []float32, heads simd.Matrices) {
	size := l.tokens * l.tokens
	rows = data[sample*l.heads*size : (sample+1)*l.heads*size]
	return rows, simd.Matrices{Data: rows, LD: l.tokens, Inner: size}
}

func (l *attention) forwardSample(i int) {
	t, d, row := l.tokens, l.width/l.heads, 3*l.width
	simd.AddRow(l.qkv.y[i*t*row:(i+1)*t*row], l.bias, t, row)
	q, k, v := l.packed(l.qkv.y, i, 0), l.packed(l.qkv.y, i, 1), l.packed(l.qkv.y, i, 2)
	rows, share := l.square(l.share, i)
	simd.GemmBatch(1, l.heads, false, true, t, t, d, l.scale, q, k, 0, share)
	simd.Softmax(rows, l.heads*t, t)
	used, weights := l.square(l.used, i)
	if !alike(used, rows) {
		copy(used, rows)
		l.drop.drawSample(i)
	}
	simd.GemmBatch(1, l.heads, false, false, t, d, t, 1, weights, v, 0, l.merged(l.y, i))
}

// backwardSample uses, with P the softmax and S its input: ∂v = Pᵀ·∂y, ∂P = ∂y·vᵀ, ∂q = ∂S·k/√d, ∂k = ∂Sᵀ·q/√d. Dropout masks P and ∂P alike.
func (l *attention) backwardSample(i int) {
	t, d := l.tokens, l.width/l.heads
	q, k, v := l.packed(l.qkv.y, i, 0), l.packed(l.qkv.y, i, 1), l.packed(l.qkv.y, i, 2)
	dq, dk, dv := l.packed(l.dqkv, i, 0), l.packed(l.dqkv, i, 1), l.packed(l.dqkv, i, 2)
	dy := l.merged(l.dy, i)
	rows, _ := l.square(l.share, i)
	_, weights := l.square(l.used, i)
	dRows, dShare := l.square(l.dShare, i)
	simd.GemmBatch(1, l.heads, true, false, t, d, t, 1, weights, dy, 0, dv)
	simd.GemmBatch(1, l.heads, false, true, t, t, d, 1, dy, v, 0, dShare)
	if l.drop != nil {
		l.drop.maskSample(i)
	}
	simd.SoftmaxBackward(dRows, rows, l.heads*t, t)
	simd.GemmBatch(1, l.heads, false, false, t, d, t, l.scale, dShare, k, 0, dq)
	simd.GemmBatch(1, l.heads, true, false, t, d, t, l.scale, dShare, q, 0, dk)
}
