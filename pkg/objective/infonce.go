// Package objective holds losses and their gradients as communication-free mathematics: parts that each virtual rank computes, and
// merges of the parts in a fixed order.
package objective

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// InfoNCE with bank negatives (van den Oord et al. 2018, eq. 4; He et al., MoCo, CVPR 2020, eq. 1):
//
//	L = −s₊ + log(e^{s₊} + Σⱼ e^{sⱼ}),  s₊ = q·k₊/τ,  sⱼ = q·kⱼ/τ with kⱼ in the bank.
//
// The bank is sharded. For each shard v the owner computes (m_v, l_v, o_v) below in one pass of tiles; what is shared is 2 numbers a query.
// The logits are never held: scratch is one tile a thread.

// BankPart is one shard's part of the softmax over the bank, for B queries of width d:
//
//	m = max_j s_j,  l = Σ_j e^{s_j − m},  o = Σ_j e^{s_j − m}·k_j
type BankPart struct {
	M, L []float32 // (B)
	O    []float32 // (B, d)
}

// NewBankPart makes room for the part of B queries of width d.
func NewBankPart(queries, d int) *BankPart {
	return &BankPart{M: make([]float32, queries), L: make([]float32, queries), O: make([]float32, queries*d)}
}

// Compute fills p from unit queries q (B, d) and a shard's unit keys (n, d), n ≥ 1, at temperature tau. Tiles are visited in order of
// the keys and the running maximum rescales what came before (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), so
// the result depends on nothing but the arguments.
func (p *BankPart) Compute(q, keys []float32, d int, tau float32) {
	p.ComputeDrawn(q, Drawn{Rows: keys, D: d}, tau)
}

// ComputeDrawn is Compute over those of a shard's unit vectors that a step has drawn, of which there may be none. Hidden pairs count for
// nothing. m is −∞ where nothing is left.
func (p *BankPart) ComputeDrawn(q []float32, keys Drawn, tau float32) { sweep(p, q, keys, 1/tau) }

func (p *BankPart) begin(q *panel) {
	q.restart()
	clear(p.rows(q))
}

// rows are the panel's rows of o.
func (p *BankPart) rows(q *panel) []float32 {
	d := len(p.O) / len(p.M)
	return p.O[q.first*d : (q.first+q.n)*d]
}

func (p *BankPart) visit(q *panel, t *tile) {
	o := p.rows(q)
	d := len(o) / q.n
	q.raise(t, func(c int, shrink float32) {
		simd.Scale(o[c*d:(c+1)*d], shrink)
		q.totals[0][c] *= float64(shrink)
	})
	q.addExp(0, t.scores, t.rows)
	simd.PanelSum(o, t.scores, t.keys, q.n, t.rows, d)
}

func (p *BankPart) end(q *panel) {
	for c := range q.n {
		p.M[q.first+c], p.L[q.first+c] = q.top[c], float32(q.totals[0][c])
	}
}

// BankMerge is the softmax over the positive and every shard, for all B queries. Every rank computes it from the same gathered values in
// the same order. The zero value may be filled any number of times.
type BankMerge struct {
	Loss     float64   // mean over the queries
	Positive float64   // mean s₊·τ: the cosine between a query and its key
	PPlus    []float32 // (B) probability of the positive
	maxima   []float64 // (B)
	z        []float64 // (B)
}

// Merge merges the parts' maxima m and sums l, each (V, B) in order of virtual rank, with the cosines of the positives (B):
//
//	M = max(s₊, m_v …),  Z = e^{s₊−M} + Σ_v l_v·e^{m_v−M},  L = −(s₊−M) + log Z,  p₊ = e^{s₊−M}/Z
//
// The result is false when any of it is NaN or Inf.
func (b *BankMerge) Merge(cosines []float32, m, l [][]float32, tau float32) bool {
	n := len(cosines)
	b.PPlus, b.maxima, b.z = grown(b.PPlus, n), grown(b.maxima, n), grown(b.z, n)
	b.Loss, b.Positive = 0, 0
	for i, c := range cosines {
		s := float64(c) / float64(tau)
		top := s
		for v := range m {
			top = max(top, float64(m[v][i]))
		}
		plus := keyed.Exp(s - top)
		z := plus
		for v := range m {
			z += float64(float64(l[v][i]) * keyed.Exp(float64(m[v][i])-top))
		}
		b.maxima[i], b.z[i], b.PPlus[i] = top, z, float32(plus/z)
		b.Loss += (top - s) + keyed.Log(z)
		b.Positive += float64(c)
	}
	b.Loss /= float64(n)
	b.Positive /= float64(n)
	return finite(b.Loss)
}

// Weigh turns a part's o in place into the shard's share of ō = Σⱼ pⱼ·kⱼ: o·e^{m−M}/Z. The shares of all shards add up inside the unit
// ball, in any order and any subset, since the weights are probabilities and the keys unit vectors.
func (b *BankMerge) Weigh(p *BankPart, d int) {
	for i := range p.M {
		w := float32(keyed.Exp(float64(p.M[i])-b.maxima[i]) / b.z[i])
		simd.Scale(p.O[i*d:(i+1)*d], w)
	}
}

// QueryGradient writes ∂L/∂q = (ō − (1−p₊)·k₊)/τ, times scale, for rows of queries: ō and k₊ are (rows, d), pPlus is (rows). Use scale 1/B
// for a mean over the batch. dq may be the slice of ō.
func QueryGradient(dq, weighted, positives, pPlus []float32, d int, tau, scale float32) {
	f := scale / tau
	for i, p := range pPlus {
		for j := i * d; j < (i+1)*d; j++ {
			dq[j] = f * (weighted[j] - float32((1-p)*positives[j]))
		}
	}
}

// finite tells whether no figure is NaN or Inf.
func finite(figures ...float64) bool {
	for _, x := range figures {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
