package objective

import (
	"math"
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// NTXent is the normalised temperature-scaled cross-entropy of a batch (Chen et al., "A simple framework for contrastive learning of visual
// representations", ICML 2020, eq. 1): each of 2B unit rows z against all others, its positive being the other view of its sample, at
// row (i+B) mod 2B:
//
//	L = 1/(2B)·Σᵢ (lseᵢ − s_{i,pos(i)}),  s_ij = zᵢ·zⱼ/τ,  lseᵢ = log Σ_{j≠i} e^{s_ij}
//
// Whoever has all rows and all lse can compute any row's gradient alone. Scores are made anew in each pass and never held: scratch is two
// tiles a thread.
type NTXent struct {
	Z   []float32 // (2B, d): first views of all samples, then second views
	D   int       // d
	Tau float32   // τ
	// CrossView contrasts each row with the other views alone, and with none of its own kind: the symmetric cross-entropy of Radford et al.
	// ("Learning transferable visual models from natural language supervision", ICML 2021, Figure 3), where j runs over B rows.
	CrossView bool
}

func (x *NTXent) rows() int { return len(x.Z) / x.D }

// positive is the row of the other view of row i's sample.
func (x *NTXent) positive(i int) int { return (i + x.rows()/2) % x.rows() }

func (x *NTXent) row(i int) []float32 { return x.Z[i*x.D : (i+1)*x.D] }

// LogSumExp writes lse of the rows from lo on, as many as lse has.
func (x *NTXent) LogSumExp(lse []float32, lo int) {
	l := lsePasses.Get().(*lsePass)
	l.x, l.lse, l.lo = x, lse, lo
	x.sweep(l, lo, len(lse))
	l.x, l.lse = nil, nil
	lsePasses.Put(l)
}

// sweep runs a pass over the rows [lo, lo+n) as queries, against all rows that they are contrasted with. With CrossView they are all first
// views or all second ones.
func (x *NTXent) sweep(to pass, lo, n int) {
	from, end := x.others(lo)
	sweep(to, x.Z[lo*x.D:(lo+n)*x.D], Drawn{Rows: x.Z[from*x.D : end*x.D], D: x.D}, 1/x.Tau)
}

// others are the rows [from, end) that the rows from lo on are contrasted with.
func (x *NTXent) others(lo int) (from, end int) {
	rows := x.rows()
	switch {
	case !x.CrossView:
		return 0, rows
	case lo < rows/2:
		return rows / 2, rows
	}
	return 0, rows / 2
}

// lsePass is one LogSumExp in progress.
type lsePass struct {
	x   *NTXent
	lse []float32
	lo  int
}

var lsePasses = sync.Pool{New: func() any { return new(lsePass) }}

func (l *lsePass) begin(p *panel) { p.restart() }

func (l *lsePass) visit(p *panel, t *tile) {
	l.x.hideOwn(p, t, l.lo, minusInfinity)
	p.raise(t, func(c int, shrink float32) { p.totals[0][c] *= float64(shrink) })
	p.addExp(0, t.scores, t.rows)
}

func (l *lsePass) end(p *panel) {
	for c := range p.n {
		l.lse[p.first+c] = float32(float64(p.top[c]) + keyed.Log(p.totals[0][c]))
	}
}

// hideOwn overwrites what the queries have in a tile for themselves; lo is the first query's row.
func (x *NTXent) hideOwn(p *panel, t *tile, lo int, value float32) {
	if x.CrossView {
		return
	}
	for c := range p.n {
		if own := lo + p.first + c; t.has(own) {
			t.hide(own, c, value)
		}
	}
}

// Loss is the loss, and the mean cosine between the two views of a sample, given lse of all 2B rows. Finite is false when it is NaN or Inf.
func (x *NTXent) Loss(lse []float32) (loss, positive float64, finite bool) {
	half := x.rows() / 2
	for i := range half {
		cosine := float64(simd.Dot(x.row(i), x.row(i+half)))
		loss += float64(lse[i]) + float64(lse[i+half]) - 2*cosine/float64(x.Tau)
		positive += cosine
	}
	loss /= float64(x.rows())
	return loss, positive / float64(half), !math.IsNaN(loss) && !math.IsInf(loss, 0)
}

// Gradient writes ∂L/∂z of the rows from lo on, as many as dz has, given lse of all 2B rows. Each row stands in its own loss and in those of
// all others, so with P_ij = e^{s_ij − lseᵢ}:
//
//	∂L/∂zᵢ = 1/(2Bτ)·[Σ_{j≠i} (P_ij + P_ji)·zⱼ − 2·z_{pos(i)}]
func (x *NTXent) Gradient(dz, lse []float32, lo int) {
	g := pullPasses.Get().(*pullPass)
	g.x, g.dz, g.lse, g.lo = x, dz, lse, lo
	x.sweep(g, lo, len(dz)/x.D)
	g.x, g.dz, g.lse = nil, nil, nil
	pullPasses.Put(g)
}

// pullPass is one Gradient in progress.
type pullPass struct {
	x       *NTXent
	dz, lse []float32
	lo      int
}

var pullPasses = sync.Pool{New: func() any { return new(pullPass) }}

func (g *pullPass) rows(p *panel) []float32 { return g.dz[p.first*g.x.D : (p.first+p.n)*g.x.D] }

func (g *pullPass) begin(p *panel) {
	clear(g.rows(p))
	clear(p.shifts[0][:])
	copy(p.shifts[0][:p.n], g.lse[g.lo+p.first:])
}

func (g *pullPass) visit(p *panel, t *tile) {
	from, _ := g.x.others(g.lo)
	simd.PanelPull(t.scores, p.shifts[0][:], g.lse[from+t.at:from+t.at+t.rows], t.rows)
	g.x.hideOwn(p, t, g.lo, 0)
	simd.PanelSum(g.rows(p), t.scores, t.keys, p.n, t.rows, g.x.D)
}

func (g *pullPass) end(p *panel) {
	x, factor := g.x, 1/(float32(g.x.rows())*g.x.Tau)
	for c := range p.n {
		row := g.dz[(p.first+c)*x.D : (p.first+c+1)*x.D]
		simd.Axpy(row, -2, x.row(x.positive(g.lo+p.first+c)))
		simd.Scale(row, factor)
	}
}
