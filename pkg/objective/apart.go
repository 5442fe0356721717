package objective

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// The losses of Negatives for queries whose negatives are the N keys of a sharded bank, which get no gradient. For each shard v the owner
// computes, in one pass of tiles and with the shard's largest score m,
//
//	m,  h = Σⱼ e^{(1+β)(sⱼ−m)},  w = Σⱼ e^{β(sⱼ−m)},  a = Σⱼ e^{(1+β)(sⱼ−m)}·kⱼ,  b = Σⱼ e^{β(sⱼ−m)}·kⱼ
//
// and the number of its keys. Everyone then has R = N·Σe^{(1+β)sⱼ}/Σe^{βsⱼ}. The gradient flows through the mean of the weights: with H and W the
// two sums over all shards, relative to the largest score M of all,
//
//	τ·∂log R/∂q = (1+β)·Σ_v a_v·e^{(1+β)(m_v−M)}/H − β·Σ_v b_v·e^{β(m_v−M)}/W
//
// Each owner puts its own two vectors together before they are summed, so that the mean costs one number a query and shard, and no vector.

// ApartPart is one shard's part of that, for B queries of width d.
type ApartPart struct {
	M, Hard, Weights, Count []float32 // (B) m, h, w and the number of keys that count
	O, mean                 []float32 // (B, d) a and, where β > 0, b
	form                    *Negatives
	keys                    Drawn
}

// NewApartPart makes room for the part of B queries of width d in a loss whose form is x: of that, Tau, Decoupled, TauPlus and Beta are read.
func NewApartPart(x *Negatives, queries, d int) *ApartPart {
	p := &ApartPart{form: x, O: make([]float32, queries*d)}
	for _, figures := range []*[]float32{&p.M, &p.Hard, &p.Weights, &p.Count} {
		*figures = make([]float32, queries)
	}
	if _, count := x.powers(); count == Figures {
		p.mean = make([]float32, queries*d)
	}
	return p
}

// Compute fills p from unit queries q (B, d) and a shard's unit keys. Hidden pairs count for nothing.
func (p *ApartPart) Compute(q []float32, keys Drawn) {
	p.keys = keys
	for i := range p.Count {
		p.Count[i] = float32(keys.Len())
	}
	for _, h := range keys.Hidden {
		p.Count[h.Query]--
	}
	sweep(p, q, keys, 1/p.form.Tau)
	p.keys = Drawn{}
}

// rows are the panel's rows of the two sums of keys; the second is nil where it is not made.
func (p *ApartPart) rows(q *panel) (rows [Figures][]float32) {
	d := p.keys.D
	rows[0] = p.O[q.first*d : (q.first+q.n)*d]
	if p.mean != nil {
		rows[1] = p.mean[q.first*d : (q.first+q.n)*d]
	}
	return rows
}

func (p *ApartPart) begin(q *panel) {
	q.restart()
	for _, rows := range p.rows(q) {
		clear(rows)
	}
}

func (p *ApartPart) visit(q *panel, t *tile) {
	d, rows, before := p.keys.D, p.rows(q), q.top
	t.raise(&q.top)
	powers, count := p.form.powers()
	for f, power := range powers[:count] {
		for c := range q.n {
			if q.top[c] > before[c] {
				simd.Scale(rows[f][c*d:(c+1)*d], simd.Exp1(power*(before[c]-q.top[c])))
			}
		}
		q.addPower(f, power, &before, t)
		simd.PanelSum(rows[f], t.spare, t.keys, q.n, t.rows, d)
	}
}

func (p *ApartPart) end(q *panel) {
	_, count := p.form.powers()
	for c := range q.n {
		i := q.first + c
		p.M[i], p.Hard[i], p.Weights[i] = q.top[c], float32(q.totals[0][c]), p.Count[i] // Σⱼ e⁰, where β is 0
		if count == Figures {
			p.Weights[i] = float32(q.totals[1][c])
		}
	}
}

// ApartMerge is such a loss over every shard, for all B queries. Every rank computes it from the same gathered values in the same order. The
// zero value but for Form may be filled any number of times.
type ApartMerge struct {
	Form     *Negatives
	Loss     float64 // mean over the queries
	Positive float64 // mean cosine between a query and its key

	pull, share []float32          // (B) ∂L/∂s₊, ∂L/∂log R
	top         []float64          // (B) M
	logs        [Figures][]float64 // (B) log H and log W
}

// Merge merges the figures of the parts, each (V, B) in order of virtual rank, with the cosines of the positives, (B). The result is false
// when any of it is NaN or Inf.
func (b *ApartMerge) Merge(cosines []float32, m, hard, weights, counts [][]float32) bool {
	n, x := len(cosines), b.Form
	b.pull, b.share, b.top = grown(b.pull, n), grown(b.share, n), grown(b.top, n)
	b.Loss, b.Positive = 0, 0
	for f := range b.logs {
		b.logs[f] = grown(b.logs[f], n)
	}
	for i, c := range cosines {
		top, total := math.Inf(-1), 0.0
		for v := range m {
			top = max(top, float64(m[v][i]))
			total += float64(counts[v][i])
		}
		b.top[i] = top
		for f, sums := range [Figures][][]float32{hard, weights} {
			sum := 0.0
			for v := range sums {
				sum += float64(float64(sums[v][i]) * b.relative(i, f, m[v][i]))
			}
			b.logs[f][i] = keyed.Log(sum)
		}
		powers := b.powers()
		a := x.anchor(float64(c)/float64(x.Tau), b.logs[0][i]+float64(powers[0]*top), b.logs[1][i]+float64(powers[1]*top), total)
		b.pull[i], b.share[i] = float32(a.byPositive), float32(a.share)
		b.Loss += a.loss
		b.Positive += float64(c)
	}
	b.Loss /= float64(n)
	b.Positive /= float64(n)
	return finite(b.Loss)
}

// powers are 1 + β and β.
func (b *ApartMerge) powers() [Figures]float64 {
	powers, count := b.Form.powers()
	if count < Figures {
		return [Figures]float64{1, 0}
	}
	return [Figures]float64{float64(powers[0]), float64(powers[1])}
}

// relative is e^{power·(m−M)}: 0 for a shard without a key that counts.
func (b *ApartMerge) relative(i, f int, m float32) float64 {
	if math.IsInf(float64(m), -1) {
		return 0
	}
	return keyed.Exp(float64(b.powers()[f] * (float64(m) - b.top[i])))
}

// Bound bounds the shares of all shards of a query together, and of any of them.
func (b *ApartMerge) Bound() float32 {
	powers := b.powers()
	return float32(powers[0] + powers[1])
}

// Weigh turns a part's O in place into the shard's share of τ·∂log R/∂q.
func (b *ApartMerge) Weigh(p *ApartPart, d int) {
	for i, m := range p.M {
		row := p.O[i*d : (i+1)*d]
		simd.Scale(row, b.weight(i, 0, m))
		if p.mean != nil {
			simd.Axpy(row, -b.weight(i, 1, m), p.mean[i*d:(i+1)*d])
		}
	}
}

// weight is what a shard's sum of keys counts in the gradient.
func (b *ApartMerge) weight(i, f int, m float32) float32 {
	relative := b.relative(i, f, m)
	if relative == 0 {
		return 0
	}
	return float32(b.powers()[f] * relative * keyed.Exp(-b.logs[f][i]))
}

// QueryGradient writes ∂L/∂q times scale, (rows, d), for the queries from lo on: from the sums of their shares, weighted (rows, d), and their
// positives (rows, d). Use scale 1/B for a mean over the batch. dq may be weighted.
func (b *ApartMerge) QueryGradient(dq, weighted, positives []float32, lo, d int, scale float32) {
	f := scale / b.Form.Tau
	for i := range len(dq) / d {
		share, pull := b.share[lo+i], b.pull[lo+i]
		for j := i * d; j < (i+1)*d; j++ {
			dq[j] = f * (float32(share*weighted[j]) + float32(pull*positives[j]))
		}
	}
}
