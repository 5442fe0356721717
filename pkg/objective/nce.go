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

	shift       float32
	sums, large []float64 // of each query: Σ e^t up to certain; logarithm of that above, and at the end of the sum of all sums
}

// NewNCEPart makes room for the part of B queries of width d.
func NewNCEPart(queries, d int) *NCEPart {
	return &NCEPart{Loss: make([]float32, queries), Weight: make([]float32, queries), O: make([]float32, queries*d)}
}

// certain is the t from which on σ(t) = 1 and log(1 + e^t) = t in float32; e^t is finite below.
const certain = 80

// Compute fills p from unit queries q (B, d) and the drawn unit vectors, where t = q·k/tau − shift. Noise may hit a query's own
// sample, so no pair is hidden. Tiles are visited in the order of the vectors,
// so the result depends on nothing but the arguments.
func (p *NCEPart) Compute(q []float32, keys Drawn, tau, shift float32) {
	keys.Hidden = nil
	p.shift, p.sums, p.large = shift, grown(p.sums, len(p.Loss)), grown(p.large, len(p.Loss)+1)
	sweep(p, q, keys, 1/tau)
	total := 0.0
	for _, s := range p.sums {
		total += s
	}
	p.large[len(p.Loss)] = keyed.Log(total)
	p.LogSum = float32(LogSumExp(p.large...))
}

// What a panel's totals hold.
const (
	nceLoss = iota
	nceWeight
	nceSum   // of e^t up to certain
	nceLarge // logarithm of the sum of e^t above
)

func (p *NCEPart) begin(q *panel) {
	q.restart()
	for c := range q.n {
		q.totals[nceLarge][c] = math.Inf(-1)
	}
	clear(p.rows(q))
}

func (p *NCEPart) rows(q *panel) []float32 {
	d := len(p.O) / len(p.Loss)
	return p.O[q.first*d : (q.first+q.n)*d]
}

func (p *NCEPart) visit(q *panel, t *tile) {
	for i := range t.scores {
		t.scores[i] -= p.shift
	}
	simd.Exp(t.spare, t.scores)
	// The logarithm of a product costs one logarithm a tile and query, or a few.
	var products [simd.Panel]float64
	for c := range products {
		products[c] = 1
	}
	for row := range t.rows {
		for c := range q.n {
			at := row*simd.Panel + c
			t.scores[at] = q.nce(c, t.scores[at], t.spare[at], &products[c])
		}
	}
	for c := range q.n {
		q.totals[nceLoss][c] += keyed.Log(products[c])
	}
	o := p.rows(q)
	simd.PanelSum(o, t.scores, t.keys, q.n, t.rows, len(o)/q.n)
}

// nce adds one t of query c, with u = e^t, and returns σ(t). What is to be added to the loss as a logarithm is gathered in product.
func (q *panel) nce(c int, t, u float32, product *float64) float32 {
	if t > certain {
		q.totals[nceLoss][c] += float64(t)
		q.totals[nceLarge][c] = LogSumExp(q.totals[nceLarge][c], float64(t))
		q.totals[nceWeight][c]++
		return 1
	}
	if *product *= 1 + float64(u); *product > 1e200 {
		q.totals[nceLoss][c] += keyed.Log(*product)
		*product = 1
	}
	q.totals[nceSum][c] += float64(u)
	weight := u / (1 + u)
	q.totals[nceWeight][c] += float64(weight)
	return weight
}

func (p *NCEPart) end(q *panel) {
	for c := range q.n {
		i := q.first + c
		p.Loss[i], p.Weight[i] = float32(q.totals[nceLoss][c]), float32(q.totals[nceWeight][c])
		p.sums[i], p.large[i] = q.totals[nceSum][c], q.totals[nceLarge][c]
	}
}

// NCEMerge is the loss over the positives and every shard, for all B queries. Every rank computes it from the same gathered values in the same
// order. The zero value may be filled any number of times.
type NCEMerge struct {
	Loss     float64   // mean over the queries
	Positive float64   // mean cosine between a query and its own vector
	LogMean  float64   // log of the mean of e^t over all queries, own vectors included
	Plus     []float32 // (B) σ(−t₊) over the query's total weight: what its own vector counts in the shares, negatively
	total    []float64 // (B) σ(−t₊) + Σⱼ σ(tⱼ)
	terms    []float64
}

// Merge merges the parts' losses and weights, each (V, B) in order of virtual rank, and their log-sums, (V), with the cosines of the
// queries and their own vectors, (B). drawn is m, the number of vectors drawn from all shards. The result is false when any of it is NaN or Inf.
func (b *NCEMerge) Merge(cosines []float32, loss, weight [][]float32, logSums []float32, drawn int, tau, shift float32) bool {
	n := len(cosines)
	b.Loss, b.Positive, b.Plus, b.total, b.terms = 0, 0, grown(b.Plus, n), grown(b.total, n), b.terms[:0]
	for _, s := range logSums {
		b.terms = append(b.terms, float64(s))
	}
	for i, c := range cosines {
		t := float64(c)/float64(tau) - float64(shift)
		plus := 1 / (1 + keyed.Exp(t))
		b.total[i] = plus
		b.Loss += softplus(-t)
		for v := range loss {
			b.Loss += float64(loss[v][i])
			b.total[i] += float64(weight[v][i])
		}
		b.Plus[i] = float32(plus * b.unit(i))
		b.Positive += float64(c)
		b.terms = append(b.terms, t)
	}
	b.Loss /= float64(n)
	b.Positive /= float64(n)
	b.LogMean = LogSumExp(b.terms...) - keyed.Log(float64(n)*float64(drawn+1))
	return finite(b.Loss, b.LogMean)
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
