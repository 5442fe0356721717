package objective

import (
	"math"
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Negatives are losses of a batch that, unlike NT-Xent, treat the positive of an anchor apart from its N = 2B − 2 negatives. Rows are those
// of NTXent; with s₊ the score of the positive and sⱼ those of the negatives, a loss is the mean over all 2B anchors of
//
//	decoupled      L = −s₊ + log Σⱼ e^{sⱼ}
//	debiased       L = −log(e^{s₊}/(e^{s₊} + G)),  G = max((R − τ⁺·N·e^{s₊})/(1 − τ⁺), N·e^{−1/τ}),  R = Σⱼ e^{sⱼ}
//	hard negatives the same with R = Σⱼ e^{(1+β)·sⱼ} / mean(e^{β·sⱼ})
//
// (Yeh et al., "Decoupled contrastive learning", ECCV 2022; Chuang et al., "Debiased contrastive learning", NeurIPS 2020; Robinson et al.,
// "Contrastive learning with hard negative samples", ICLR 2021.) The gradient of hard negatives flows through the mean, as in its authors' code;
// where G is at its lower bound, it has none.
//
// The work is cut as with NTXent: whoever has all rows and their Sums can compute any row's gradient alone, in tiles. ApartPart has the same
// losses against a bank.
type Negatives struct {
	NTXent
	Decoupled bool
	TauPlus   float64 // τ⁺ ∈ [0, 1): chance of a negative to be of the anchor's class; not read where Decoupled
	Beta      float64 // β ≥ 0: weight of hard negatives; 0: all weigh alike
}

// Figures is how many numbers of an anchor Sums writes.
const Figures = 2

// Sums writes, for the rows from lo on, the logarithms of Σⱼ e^{(1+β)·sⱼ} and of Σⱼ e^{β·sⱼ} over their negatives: Figures numbers a row.
func (x *Negatives) Sums(figures []float32, lo int) {
	s := sumPasses.Get().(*sumPass)
	s.x, s.figures, s.lo = x, figures, lo
	x.sweep(s, lo, len(figures)/Figures)
	s.x, s.figures = nil, nil
	sumPasses.Put(s)
}

// sumPass is one call of Sums in progress.
type sumPass struct {
	x       *Negatives
	figures []float32
	lo      int
}

var sumPasses = sync.Pool{New: func() any { return new(sumPass) }}

func (s *sumPass) begin(p *panel) { p.restart() }

func (s *sumPass) visit(p *panel, t *tile) {
	s.x.hide(p, t, s.lo, minusInfinity)
	powers, count := s.x.powers()
	before := p.top
	t.raise(&p.top)
	for f, power := range powers[:count] {
		p.addPower(f, power, &before, t)
	}
}

func (s *sumPass) end(p *panel) {
	powers, count := s.x.powers()
	for c := range p.n {
		row := s.figures[Figures*(p.first+c) : Figures*(p.first+c+1)]
		row[1] = float32(keyed.Log(float64(s.x.negatives()))) // Σⱼ e⁰, where β is 0
		for f, power := range powers[:count] {
			row[f] = float32(float64(float64(power)*float64(p.top[c])) + keyed.Log(p.totals[f][c]))
		}
	}
}

// powers are what scores are multiplied with in the sums that have to be made: 1+β and, where it is above 0, β.
func (x *Negatives) powers() (powers [Figures]float32, count int) {
	if x.Beta == 0 || x.Decoupled {
		return [Figures]float32{1}, 1
	}
	return [Figures]float32{float32(1 + x.Beta), float32(x.Beta)}, Figures
}

// negatives is N.
func (x *Negatives) negatives() int { return x.rows() - 2 }

// hide overwrites what the queries have in a tile for themselves and their positives; lo is the first query's row.
func (x *Negatives) hide(p *panel, t *tile, lo int, value float32) {
	x.hideOwn(p, t, lo, value)
	for c := range p.n {
		if positive := x.positive(lo + p.first + c); t.has(positive) {
			t.hide(positive, c, value)
		}
	}
}

// Pulls is what the gradients need of all rows. The zero value may be filled any number of times.
type Pulls struct {
	positive []float32          // ∂Lᵢ/∂s₊
	shifts   [Figures][]float32 // ∂Lᵢ/∂sⱼ = e^{(1+β)·sⱼ − shift₀} − e^{β·sⱼ − shift₁}
}

func (p *Pulls) resize(rows int) {
	if len(p.positive) == rows {
		return
	}
	p.positive = make([]float32, rows)
	for f := range p.shifts {
		p.shifts[f] = make([]float32, rows)
	}
}

// Loss is the loss and the mean cosine between the two views of a sample, given the Sums of all 2B rows; it fills pulls with what Gradient
// needs. Finite is false when the loss is NaN or Inf.
func (x *Negatives) Loss(figures []float32, pulls *Pulls) (loss, positive float64, finite bool) {
	rows := x.rows()
	pulls.resize(rows)
	powers, count := x.powers()
	for i := range rows {
		cosine := float64(simd.Dot(x.row(i), x.row(x.positive(i))))
		a := x.anchor(cosine/float64(x.Tau), float64(figures[Figures*i]), float64(figures[Figures*i+1]), float64(x.negatives()))
		loss += a.loss
		positive += cosine
		pulls.positive[i] = float32(a.byPositive)
		share := keyed.Log(a.share)
		for f, power := range powers[:count] {
			pulls.shifts[f][i] = float32(float64(figures[Figures*i+f]) - share - keyed.Log(float64(power)))
		}
	}
	loss /= float64(rows)
	return loss, positive / float64(rows), !math.IsNaN(loss) && !math.IsInf(loss, 0)
}

// anchor is one anchor's loss and its derivatives.
type anchor struct {
	loss, byPositive float64
	share            float64 // ∂L/∂log R
}

// anchor computes the loss from the positive's score and the logarithms of the sums over n negatives. Without any, there is nothing to learn.
func (x *Negatives) anchor(plus, hard, weights, n float64) anchor {
	switch {
	case n == 0:
		return anchor{}
	case x.Decoupled:
		return anchor{loss: hard - plus, byPositive: -1, share: 1}
	}
	log := hard - weights + keyed.Log(n) // of R
	least := keyed.Log(n) - 1/float64(x.Tau)
	top := max(plus, log, least) // everything is e^{…−top}, since e^{1/τ} may overflow
	p, r, floor := keyed.Exp(plus-top), keyed.Exp(log-top), keyed.Exp(least-top)
	g, drawn := (r-float64(x.TauPlus*n*p))/(1-x.TauPlus), float64(x.TauPlus*n*p)/(1-x.TauPlus)
	a := anchor{share: r / (1 - x.TauPlus)}
	if g < floor {
		g, drawn, a.share = floor, 0, 0
	}
	a.loss = keyed.Log(p+g) + top - plus
	a.byPositive = (p-drawn)/(p+g) - 1
	a.share /= p + g
	return a
}

// Gradient writes ∂L/∂z of the rows from lo on, as many as dz has. Each row stands in its own loss and in those of all others, so with
// W_ij = ∂Lᵢ/∂s_ij for the negatives and c₊ that for the positive:
//
//	∂L/∂zᵢ = 1/(2Bτ)·[Σⱼ (W_ij + W_ji)·zⱼ + (c₊ᵢ + c₊_{pos(i)})·z_{pos(i)}]
func (x *Negatives) Gradient(dz []float32, pulls *Pulls, lo int) {
	g := negativePasses.Get().(*negativePass)
	g.x, g.dz, g.pulls, g.lo = x, dz, pulls, lo
	x.sweep(g, lo, len(dz)/x.D)
	g.x, g.dz, g.pulls = nil, nil, nil
	negativePasses.Put(g)
}

// negativePass is one Gradient in progress.
type negativePass struct {
	x     *Negatives
	dz    []float32
	pulls *Pulls
	lo    int
}

var negativePasses = sync.Pool{New: func() any { return new(negativePass) }}

func (g *negativePass) rows(p *panel) []float32 { return g.dz[p.first*g.x.D : (p.first+p.n)*g.x.D] }

func (g *negativePass) begin(p *panel) {
	clear(g.rows(p))
	for f, shifts := range g.pulls.shifts {
		clear(p.shifts[f][:])
		copy(p.shifts[f][:p.n], shifts[g.lo+p.first:])
	}
}

func (g *negativePass) visit(p *panel, t *tile) {
	powers, count := g.x.powers()
	w := t.scores
	for f := count - 1; f >= 0; f-- { // the scores themselves last
		e := t.spare
		if f == 0 {
			e = w
		}
		copy(e, t.scores)
		simd.Scale(e, powers[f])
		simd.PanelPull(e, p.shifts[f][:], g.pulls.shifts[f][t.at:t.at+t.rows], t.rows)
	}
	if count == Figures {
		simd.Axpy(w, -1, t.spare)
	}
	g.x.hide(p, t, g.lo, 0)
	simd.PanelSum(g.rows(p), w, t.keys, p.n, t.rows, g.x.D)
}

func (g *negativePass) end(p *panel) {
	x, factor := g.x, 1/(float32(g.x.rows())*g.x.Tau)
	for c := range p.n {
		i := g.lo + p.first + c
		row, other := g.dz[(p.first+c)*x.D:(p.first+c+1)*x.D], x.positive(i)
		simd.Axpy(row, g.pulls.positive[i]+g.pulls.positive[other], x.row(other))
		simd.Scale(row, factor)
	}
}
