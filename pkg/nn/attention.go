package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// attention is the inner part of multi-head self-attention: from queries, keys and values (tokens, 3·width) of each sample, the heads' side by side
// in each of the three, to softmax(q·kᵀ/√d)·v (tokens, width), d = width/heads, head by head (Vaswani et al., "Attention is all you need",
// 2017). The linear layers before and after it are layers of their own. Samples are computed side by side.
type attention struct {
	tokens, width, heads int
	scale                float32

	qkv, y   []float32 // input; output
	share    []float32 // (n, heads, tokens, tokens): the softmax
	dy       []float32
	dqkv     []float32
	dShare   []float32 // (n, tokens, tokens): of one head at a time
	attend   func(sample int)
	backOver func(sample int)
}

func newAttention(tokens, width, heads int) *attention {
	l := &attention{tokens: tokens, width: width, heads: heads, scale: float32(1 / math.Sqrt(float64(width/heads)))}
	l.attend, l.backOver = l.forwardSample, l.backwardSample
	return l
}

func (l *attention) forward(p *pass, x []float32) []float32 {
	l.qkv = x
	grow(&l.y, p.n*l.tokens*l.width)
	grow(&l.share, p.n*l.heads*l.tokens*l.tokens)
	simd.Parallel(p.n, l.attend)
	return l.y
}

func (l *attention) backward(p *pass, dy []float32, _ bool) []float32 {
	l.dy = dy
	l.dqkv, l.dShare = p.borrow(len(l.qkv)), p.borrow(p.n*l.tokens*l.tokens)
	simd.Parallel(p.n, l.backOver)
	p.giveBack(l.dShare)
	return l.dqkv
}

// sample returns the part of data, with width values a token, that belongs to one sample.
func (l *attention) sample(data []float32, width, i int) []float32 {
	return data[i*l.tokens*width : (i+1)*l.tokens*width]
}

func (l *attention) forwardSample(i int) {
	t, d, row := l.tokens, l.width/l.heads, 3*l.width
	qkv, y := l.sample(l.qkv, row, i), l.sample(l.y, l.width, i)
	for h := range l.heads {
		q, k, v := qkv[h*d:], qkv[l.width+h*d:], qkv[2*l.width+h*d:]
		share := l.share[(i*l.heads+h)*t*t:][:t*t]
		simd.Gemm(false, true, t, t, d, l.scale, q, row, k, row, 0, share, t)
		simd.Softmax(share, t, t)
		simd.Gemm(false, false, t, d, t, 1, share, t, v, row, 0, y[h*d:], l.width)
	}
}

// backwardSample uses, with P the softmax and S its input: ∂v = Pᵀ·∂y, ∂P = ∂y·vᵀ, ∂q = ∂S·k/√d, ∂k = ∂Sᵀ·q/√d.
func (l *attention) backwardSample(i int) {
	t, d, row := l.tokens, l.width/l.heads, 3*l.width
	qkv, dqkv, dy := l.sample(l.qkv, row, i), l.sample(l.dqkv, row, i), l.sample(l.dy, l.width, i)
	dShare := l.dShare[i*t*t:][:t*t]
	for h := range l.heads {
		q, k, v := qkv[h*d:], qkv[l.width+h*d:], qkv[2*l.width+h*d:]
		dq, dk, dv := dqkv[h*d:], dqkv[l.width+h*d:], dqkv[2*l.width+h*d:]
		share := l.share[(i*l.heads+h)*t*t:][:t*t]
		simd.Gemm(true, false, t, d, t, 1, share, t, dy[h*d:], l.width, 0, dv, row)
		simd.Gemm(false, true, t, t, d, 1, dy[h*d:], l.width, v, row, 0, dShare, t)
		simd.SoftmaxBackward(dShare, share, t, t)
		simd.Gemm(false, false, t, d, t, l.scale, dShare, t, k, row, 0, dq, row)
		simd.Gemm(true, false, t, d, t, l.scale, dShare, t, q, row, 0, dk, row)
	}
}
