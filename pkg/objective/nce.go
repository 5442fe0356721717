package objective

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Noise-contrastive estimation of instance discrimination (Wu, Xiong, Yu and Lin, "Unsupervised feature learning via non-parametric
// instance discrimination", CVPR 2018, eq. 4–7). With N samples, m drawn ones and P(i|q) = e^{s_i}/Z, noise 1/N:
//
//	L = −log(P₊/(P₊ + m/N)) − Σⱼ log((m/N)/(Pⱼ + m/N)) = log(1 + e^{−t₊}) + Σⱼ log(1 + e^{tⱼ}),  t = s − log(Z·m/N)
//	∂L/∂s₊ = −σ(−t₊),  ∂L/∂sⱼ = σ(tⱼ),  σ(t) = 1/(1 + e^{−t})
//
// Z is given: the running mean of N·e^s, which the gradient does not flow through. All of it stays finite for any t.

// NCEPart is one shard's part of the sums over the drawn vectors kⱼ, for B queries of width d:
//
//	loss = Σⱼ log(1 + e^{tⱼ}),  weight = Σⱼ σ(tⱼ),  o = Σⱼ σ(tⱼ)·kⱼ
type NCEPart struct {
	Loss, Weight []float32 // (B)
	LogSum       float32   // log Σ e^t over all queries and vectors; −∞ where nothing is drawn
	O            []float32 // (B, d)
}

// NewNCEPart makes room for the part of B queries of width d.
func NewNCEPart(queries, d int) *NCEPart {
	return &NCEPart{Loss: make([]float32, queries), Weight: make([]float32, queries), O: make([]float32, queries*d)}
}

// certain is the t from which on σ(t) = 1 and log(1 + e^t) = t in float32; e^t is finite below.
const certain = 80

// Compute fills p from unit queries q (B, d) and the drawn unit vectors, where t = q·k/tau − shift. Tiles are visited in the order of the vectors,
// so the result depends on nothing but the arguments.
func (p *NCEPart) Compute(q []float32, keys Drawn, tau, shift float32) {
	d, sums, large := keys.D, make([]float64, len(p.Loss)), make([]float64, len(p.Loss))
	eachBlock(len(p.Loss), func(lo, hi int) {
		part := NCEPart{Loss: p.Loss[lo:hi], Weight: p.Weight[lo:hi], O: p.O[lo*d : hi*d]}
		part.computeBlock(q[lo*d:hi*d], keys, 1/tau, shift, sums[lo:hi], large[lo:hi])
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	p.LogSum = float32(LogSumExp(append(large, keyed.Log(total))...))
}

// computeBlock adds each query's e^t to its sum up to certain; large are the logarithms of the sums of those above.
func (p *NCEPart) computeBlock(q []float32, keys Drawn, invTau, shift float32, sums, large []float64) {
	rows, d := len(p.Loss), keys.D
	clear(p.O)
	losses, weights := make([]float64, rows), make([]float64, rows)
	for i := range large {
		large[i] = math.Inf(-1)
	}
	exps := make([]float32, tileKeys)
	keys.eachTile(q, rows, invTau, func(_, width int, block, scores []float32) {
		for i := range rows {
			t := scores[i*width : (i+1)*width]
			for j := range t {
				t[j] -= shift
			}
			simd.Exp(exps[:width], t)
			// The logarithm of a product costs one logarithm a tile and query, or a few.
			product := 1.0
			for j, u := range exps[:width] {
				if t[j] > certain {
					losses[i] += float64(t[j])
					large[i] = LogSumExp(large[i], float64(t[j]))
					t[j] = 1
					weights[i]++
					continue
				}
				if product *= 1 + float64(u); product > 1e200 {
					losses[i] += keyed.Log(product)
					product = 1
				}
				sums[i] += float64(u)
				t[j] = u / (1 + u)
				weights[i] += float64(t[j])
			}
			losses[i] += keyed.Log(product)
		}
		simd.Gemm(false, false, rows, d, width, 1, scores, width, block, d, 1, p.O, d)
	})
	for i := range rows {
		p.Loss[i], p.Weight[i] = float32(losses[i]), float32(weights[i])
	}
}

// NCEMerge is the loss over the positives and every shard, for all B queries. Every rank computes it from the same gathered values in the same
// order.
type NCEMerge struct {
	Loss     float64   // mean over the queries
	Positive float64   // mean cosine between a query and its own vector
	LogMean  float64   // log of the mean of e^t over all queries, own vectors included
	Plus     []float32 // (B) σ(−t₊) over the query's total weight: what its own vector counts in the shares, negatively
	total    []float64 // (B) σ(−t₊) + Σⱼ σ(tⱼ)
}

// MergeNCE merges the parts' losses and weights, each (V, B) in order of virtual rank, and their log-sums, (V), with the cosines of the
// queries and their own vectors, (B). drawn is m, the number of vectors drawn from all shards. Finite is false when any of it is NaN or Inf.
func MergeNCE(cosines []float32, loss, weight [][]float32, logSums []float32, drawn int, tau, shift float32) (merged *NCEMerge, finite bool) {
	n := len(cosines)
	merged = &NCEMerge{Plus: make([]float32, n), total: make([]float64, n)}
	terms := make([]float64, 0, n+len(logSums))
	for _, s := range logSums {
		terms = append(terms, float64(s))
	}
	for i, c := range cosines {
		t := float64(c)/float64(tau) - float64(shift)
		plus := 1 / (1 + keyed.Exp(t))
		merged.total[i] = plus
		merged.Loss += softplus(-t)
		for v := range loss {
			merged.Loss += float64(loss[v][i])
			merged.total[i] += float64(weight[v][i])
		}
		merged.Plus[i] = float32(plus * merged.unit(i))
		merged.Positive += float64(c)
		terms = append(terms, t)
	}
	merged.Loss /= float64(n)
	merged.Positive /= float64(n)
	merged.LogMean = LogSumExp(terms...) - keyed.Log(float64(n)*float64(drawn+1))
	for _, x := range []float64{merged.Loss, merged.LogMean} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return merged, false
		}
	}
	return merged, true
}

// unit is one over a query's total weight. Weights that small would leave no trace in the gradient; the bound keeps it finite.
func (b *NCEMerge) unit(i int) float64 { return 1 / max(b.total[i], 1e-30) }

// Weigh turns a part's o in place into the shard's share of the gradient: o over the query's total weight. The absolute weights of all
// shares of a query, its own vector's included, add up to 1 at most, so that every sum of them lies in the unit ball.
func (b *NCEMerge) Weigh(p *NCEPart, d int) {
	for i := range b.total {
		simd.Scale(p.O[i*d:(i+1)*d], float32(b.unit(i)))
	}
}

// Total is what the sum of a query's shares is times, to be τ·∂L/∂q of that query's loss.
func (b *NCEMerge) Total(i int) float32 { return float32(b.total[i]) }

// softplus is log(1 + eˣ).
func softplus(x float64) float64 {
	return max(x, 0) + keyed.Log(1+keyed.Exp(-math.Abs(x)))
}

// LogSumExp is log Σ e^x, −∞ for nothing.
func LogSumExp(x ...float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += keyed.Exp(v - top)
	}
	return top + keyed.Log(sum)
}
