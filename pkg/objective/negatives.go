package objective

import (
	"math"

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
// The work is cut as with NTXent: whoever has all rows and their Sums can compute any row's gradient alone, in tiles.
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
	eachBlock(len(figures)/Figures, func(from, to int) { x.sumBlock(figures[from*Figures:to*Figures], lo+from) })
}

func (x *Negatives) sumBlock(figures []float32, lo int) {
	n := len(figures) / Figures
	var maxima [tileQueries]float32
	var sums [Figures][tileQueries]float32
	for i := range n {
		maxima[i] = float32(math.Inf(-1))
	}
	exps := tiles.get()
	defer tiles.put(exps)
	powers, count := x.powers()
	// With two samples or more and an even number of rows, no tile is hidden from a row altogether.
	x.eachTile(lo, n, func(at, width int, _, scores []float32) {
		x.hide(scores, lo, n, at, width, float32(math.Inf(-1)))
		for i := range n {
			s, e := scores[i*width:(i+1)*width], exps[:width]
			if m := simd.Max(s); m > maxima[i] {
				for f, power := range powers[:count] {
					sums[f][i] *= simd.Exp1(power * (maxima[i] - m))
				}
				maxima[i] = m
			}
			for f, power := range powers[:count] {
				copy(e, s)
				simd.Scale(e, power)
				sums[f][i] += simd.ExpSum(e, e, power*maxima[i])
			}
		}
	})
	for i := range n {
		figures[Figures*i+1] = float32(keyed.Log(float64(x.negatives()))) // Σⱼ e⁰, where β is 0
		for f, power := range powers[:count] {
			figures[Figures*i+f] = float32(float64(float64(power)*float64(maxima[i])) + keyed.Log(float64(sums[f][i])))
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

// hide overwrites what n rows from lo have in a tile for themselves and their positives.
func (x *Negatives) hide(tile []float32, lo, n, at, width int, value float32) {
	for i := range n {
		for _, column := range []int{lo + i - at, x.positive(lo+i) - at} {
			if column >= 0 && column < width {
				tile[i*width+column] = value
			}
		}
	}
}

// Pulls is what the gradients need of all rows. The zero value may be filled any number of times.
type Pulls struct {
	positive []float32          // ∂Lᵢ/∂s₊
	shifts   [Figures][]float32 // ∂Lᵢ/∂sⱼ = e^{(1+β)·sⱼ + shift₀} − e^{β·sⱼ + shift₁}
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
		a := x.anchor(cosine/float64(x.Tau), float64(figures[Figures*i]), float64(figures[Figures*i+1]))
		loss += a.loss
		positive += cosine
		pulls.positive[i] = float32(a.byPositive)
		share := keyed.Log(a.share)
		for f, power := range powers[:count] {
			pulls.shifts[f][i] = float32(share + keyed.Log(float64(power)) - float64(figures[Figures*i+f]))
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

// anchor computes the loss from the positive's score and the logarithms of the sums over negatives.
func (x *Negatives) anchor(plus, hard, weights float64) anchor {
	if x.Decoupled {
		return anchor{loss: hard - plus, byPositive: -1, share: 1}
	}
	n := float64(x.negatives())
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
	eachBlock(len(dz)/x.D, func(from, to int) { x.gradientBlock(dz[from*x.D:to*x.D], pulls, lo+from) })
}

func (x *Negatives) gradientBlock(dz []float32, pulls *Pulls, lo int) {
	n := len(dz) / x.D
	weights, part := tiles.get(), tiles.get()
	defer tiles.put(weights)
	defer tiles.put(part)
	powers, count := x.powers()
	clear(dz)
	x.eachTile(lo, n, func(at, width int, block, scores []float32) {
		w, e := weights[:n*width], part[:n*width]
		clear(w)
		for f, power := range powers[:count] {
			shift, sign := pulls.shifts[f], float32(1-2*f)
			copy(e, scores) // as others' negatives
			simd.Scale(e, power)
			simd.AddRow(e, shift[at:at+width], n, width)
			simd.Exp(e, e)
			simd.Axpy(w, sign, e)
			copy(e, scores) // as anchors
			simd.Scale(e, power)
			for i := range n {
				row := e[i*width : (i+1)*width]
				simd.ExpSum(row, row, -shift[lo+i])
			}
			simd.Axpy(w, sign, e)
		}
		x.hide(w, lo, n, at, width, 0)
		simd.Gemm(false, false, n, x.D, width, 1, w, width, block, x.D, 1, dz, x.D)
	})
	factor := 1 / (float32(x.rows()) * x.Tau)
	for i := range n {
		row, other := dz[i*x.D:(i+1)*x.D], x.positive(lo+i)
		simd.Axpy(row, pulls.positive[lo+i]+pulls.positive[other], x.row(other))
		simd.Scale(row, factor)
	}
}
