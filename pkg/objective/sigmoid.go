package objective

import (
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Sigmoid is the pairwise loss of two views (Zhai, Mustafa, Kolesnikov and Beyer, "Sigmoid loss for language image pre-training", ICCV 2023,
// Algorithm 1): each pair of a first view aᵢ and a second view bⱼ is told to belong together or not, by itself,
//
//	L = 1/B·Σᵢⱼ log(1 + e^{−y_ij·x_ij}),  x_ij = e^t·aᵢ·bⱼ + c,  y = 1 for i = j, else −1
//
// with a learned scale e^t and bias c. Nothing normalises over the batch, so a row's gradient needs no figures of others; those that Figures
// writes are for the loss and the two parameters.
type Sigmoid struct {
	Z     []float32 // (2B, d): first views of all samples, then second views
	D     int       // d
	Scale float32   // e^t
	Bias  float32   // c

	sums [2][]float64 // (d) of all first and all second views
}

// SigmoidFigures is how many numbers of a row Figures writes: its part of B·L, of B·∂L/∂t and of B·∂L/∂c.
const SigmoidFigures = 3

func (x *Sigmoid) half() int { return len(x.Z) / x.D / 2 }

// others are the views that the rows from lo on are paired with.
func (x *Sigmoid) others(lo int) []float32 {
	half := x.half() * x.D
	if lo*x.D < half {
		return x.Z[half:]
	}
	return x.Z[:half]
}

// Figures writes those of the rows from lo on, which are all first views or all second ones. The pairs are counted with the first views;
// those of second views are 0.
func (x *Sigmoid) Figures(figures []float32, lo int) {
	if lo >= x.half() {
		clear(figures)
		return
	}
	x.run(lo, len(figures)/SigmoidFigures, figures, nil)
}

// Gradient writes ∂L/∂z of the rows from lo on, as many as dz has, which are all first views or all second ones.
func (x *Sigmoid) Gradient(dz []float32, lo int) { x.run(lo, len(dz)/x.D, nil, dz) }

// Loss is the loss, the mean cosine of the pairs that belong together and that of the others, given the figures of all rows. Finite is false
// when the loss is NaN or Inf.
func (x *Sigmoid) Loss(figures []float32) (loss, positive, negative float64, ok bool) {
	half := x.half()
	for view := range x.sums {
		x.sums[view] = grown(x.sums[view], x.D)
		clear(x.sums[view])
	}
	for i := range half {
		a, b := x.Z[i*x.D:(i+1)*x.D], x.Z[(half+i)*x.D:(half+i+1)*x.D]
		loss += float64(figures[SigmoidFigures*i])
		positive += float64(simd.Dot(a, b))
		for c := range a {
			x.sums[0][c] += float64(a[c])
			x.sums[1][c] += float64(b[c])
		}
	}
	all, n := 0.0, float64(half)
	for c, s := range x.sums[0] {
		all += float64(s * x.sums[1][c])
	}
	loss, negative, positive = loss/n, (all-positive)/(n*(n-1)), positive/n
	return loss, positive, negative, finite(loss)
}

// Slopes are the rows' part of ∂L/∂t and of ∂L/∂c, given their figures.
func (x *Sigmoid) Slopes(figures []float32) (byScale, byBias float64) {
	for i := 0; i < len(figures); i += SigmoidFigures {
		byScale += float64(figures[i+1])
		byBias += float64(figures[i+2])
	}
	n := float64(x.half())
	return byScale / n, byBias / n
}

func (x *Sigmoid) run(lo, n int, figures, dz []float32) {
	s := sigmoidPasses.Get().(*sigmoidPass)
	views := x.others(lo)
	s.x, s.figures, s.dz = x, figures, dz
	s.own = lo % x.half()
	sweep(s, x.Z[lo*x.D:(lo+n)*x.D], Drawn{Rows: views, D: x.D}, x.Scale)
	s.x, s.figures, s.dz = nil, nil, nil
	sigmoidPasses.Put(s)
}

// sigmoidPass is one Figures or Gradient in progress.
type sigmoidPass struct {
	x           *Sigmoid
	figures, dz []float32 // one of them
	own         int       // the view that belongs to the first query, among the others
}

var sigmoidPasses = sync.Pool{New: func() any { return new(sigmoidPass) }}

// What a panel's totals hold.
const (
	sigmoidLoss = iota
	sigmoidByScale
	sigmoidByBias
)

func (s *sigmoidPass) begin(p *panel) {
	p.restart()
	if s.dz != nil {
		clear(s.rows(p))
	}
}

func (s *sigmoidPass) rows(p *panel) []float32 {
	return s.dz[p.first*s.x.D : (p.first+p.n)*s.x.D]
}

// visit turns e^t·a·b into σ(x), less 1 for the pair that belongs together: the derivative of the pair's loss by x.
func (s *sigmoidPass) visit(p *panel, t *tile) {
	for i, v := range t.scores {
		t.spare[i] = min(v+s.x.Bias, certain)
	}
	simd.Exp(t.spare, t.spare)
	var products [simd.Panel]float64
	for c := range products {
		products[c] = 1
	}
	for r := range t.rows {
		row := t.scores[r*simd.Panel : r*simd.Panel+p.n]
		for c, v := range row {
			u := t.spare[r*simd.Panel+c]
			together := r+t.at == s.own+p.first+c
			row[c] = u / (1 + u)
			if together {
				row[c] = -1 / (1 + u)
			}
			if s.figures != nil {
				p.sigmoid(c, v, s.x.Bias, u, row[c], together, &products[c])
			}
		}
	}
	if s.dz != nil {
		simd.PanelSum(s.rows(p), t.scores, t.keys, p.n, t.rows, s.x.D)
		return
	}
	for c := range p.n {
		p.totals[sigmoidLoss][c] += keyed.Log(products[c])
	}
}

// sigmoid adds the pair of query c with score v, u = e^{v+bias} and the slope of its loss. What is to be added to the loss as a logarithm is
// gathered in product.
func (p *panel) sigmoid(c int, v, bias, u, slope float32, together bool, product *float64) {
	p.totals[sigmoidByScale][c] += float64(slope) * float64(v)
	p.totals[sigmoidByBias][c] += float64(slope)
	x := float64(v) + float64(bias)
	if together { // log(1 + e^{−x}) = log(1 + e^x) − x
		p.totals[sigmoidLoss][c] -= x
	}
	if x >= certain {
		p.totals[sigmoidLoss][c] += x
		return
	}
	if *product *= 1 + float64(u); *product > 1e200 {
		p.totals[sigmoidLoss][c] += keyed.Log(*product)
		*product = 1
	}
}

func (s *sigmoidPass) end(p *panel) {
	if s.figures != nil {
		for c := range p.n {
			for f := range SigmoidFigures {
				s.figures[SigmoidFigures*(p.first+c)+f] = float32(p.totals[f][c])
			}
		}
		return
	}
	simd.Scale(s.rows(p), s.x.Scale/float32(s.x.half()))
}
