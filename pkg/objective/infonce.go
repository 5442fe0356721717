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

// ComputeDrawn is Compute over those of a shard's unit vectors that a step has drawn, of which there may be none. The vector at a query's
// Hidden place counts for nothing. m is −∞ where nothing is left.
func (p *BankPart) ComputeDrawn(q []float32, keys Drawn, tau float32) {
	eachBlock(len(p.M), func(lo, hi int) {
		part := BankPart{M: p.M[lo:hi], L: p.L[lo:hi], O: p.O[lo*keys.D : hi*keys.D]}
		part.computeBlock(q[lo*keys.D:hi*keys.D], keys, lo, 1/tau)
	})
}

func (p *BankPart) computeBlock(q []float32, keys Drawn, first int, invTau float32) {
	rows, d := len(p.M), keys.D
	for i := range p.M {
		p.M[i], p.L[i] = float32(math.Inf(-1)), 0
	}
	clear(p.O)
	keys.eachTile(q, rows, invTau, func(at, width int, block, scores []float32) {
		for i := range rows {
			s := scores[i*width : (i+1)*width]
			if hidden := keys.hidden(first+i) - at; hidden >= 0 && hidden < width {
				s[hidden] = float32(math.Inf(-1))
			}
			if m := simd.Max(s); m > p.M[i] {
				shrink := simd.Exp1(p.M[i] - m) // 0 for the first tile: e^{−∞}
				p.L[i] *= shrink
				simd.Scale(p.O[i*d:(i+1)*d], shrink)
				p.M[i] = m
			}
			if math.IsInf(float64(p.M[i]), -1) { // nothing but the hidden one so far
				clear(s)
				continue
			}
			p.L[i] += simd.ExpSum(s, s, p.M[i])
		}
		simd.Gemm(false, false, rows, d, width, 1, scores, width, block, d, 1, p.O, d)
	})
}

// BankMerge is the softmax over the positive and every shard, for all B queries. Every rank computes it from the same gathered values in
// the same order.
type BankMerge struct {
	Loss     float64   // mean over the queries
	Positive float64   // mean s₊·τ: the cosine between a query and its key
	PPlus    []float32 // (B) probability of the positive
	maxima   []float64 // (B)
	z        []float64 // (B)
}

// MergeBank merges the parts' maxima m and sums l, each (V, B) in order of virtual rank, with the cosines of the positives (B):
//
//	M = max(s₊, m_v …),  Z = e^{s₊−M} + Σ_v l_v·e^{m_v−M},  L = −(s₊−M) + log Z,  p₊ = e^{s₊−M}/Z
//
// Finite is false when any of it is NaN or Inf.
func MergeBank(cosines []float32, m, l [][]float32, tau float32) (merged *BankMerge, finite bool) {
	n := len(cosines)
	merged = &BankMerge{PPlus: make([]float32, n), maxima: make([]float64, n), z: make([]float64, n)}
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
		merged.maxima[i], merged.z[i], merged.PPlus[i] = top, z, float32(plus/z)
		merged.Loss += (top - s) + keyed.Log(z)
		merged.Positive += float64(c)
	}
	merged.Loss /= float64(n)
	merged.Positive /= float64(n)
	return merged, !math.IsNaN(merged.Loss) && !math.IsInf(merged.Loss, 0)
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
