package objective

import (
	"math"

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
}

func (x *NTXent) rows() int { return len(x.Z) / x.D }

// positive is the row of the other view of row i's sample.
func (x *NTXent) positive(i int) int { return (i + x.rows()/2) % x.rows() }

func (x *NTXent) row(i int) []float32 { return x.Z[i*x.D : (i+1)*x.D] }

// LogSumExp writes lse of the rows from lo on, as many as lse has.
func (x *NTXent) LogSumExp(lse []float32, lo int) {
	x.blocks(len(lse), func(from, to int) { x.lseBlock(lse[from:to], lo+from) })
}

// blocks runs f for each block of n rows, in parallel.
func (x *NTXent) blocks(n int, f func(from, to int)) {
	simd.Parallel((n+tileQueries-1)/tileQueries, func(b int) { f(b*tileQueries, min((b+1)*tileQueries, n)) })
}

func (x *NTXent) lseBlock(lse []float32, lo int) {
	tile := tiles.get()
	defer tiles.put(tile)
	var maxima, sums [tileQueries]float32
	for i := range lse {
		maxima[i] = float32(math.Inf(-1))
	}
	// 2B is even, so that no tile is a row's own column alone.
	for at := 0; at < x.rows(); at += tileKeys {
		scores, width := x.scores(tile, lo, len(lse), at)
		for i := range lse {
			s := scores[i*width : (i+1)*width]
			if own := lo + i - at; own >= 0 && own < width {
				s[own] = float32(math.Inf(-1))
			}
			if m := simd.Max(s); m > maxima[i] {
				sums[i] *= simd.Exp1(maxima[i] - m)
				maxima[i] = m
			}
			sums[i] += simd.ExpSum(s, s, maxima[i])
		}
	}
	for i := range lse {
		lse[i] = float32(float64(maxima[i]) + keyed.Log(float64(sums[i])))
	}
}

// scores fills the tile with those of n rows from lo against the columns from at, (n, width).
func (x *NTXent) scores(tile []float32, lo, n, at int) (scores []float32, width int) {
	width = min(tileKeys, x.rows()-at)
	scores = tile[:n*width]
	simd.Gemm(false, true, n, width, x.D, 1/x.Tau, x.Z[lo*x.D:], x.D, x.Z[at*x.D:], x.D, 0, scores, width)
	return scores, width
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
	x.blocks(len(dz)/x.D, func(from, to int) { x.gradientBlock(dz[from*x.D:to*x.D], lse, lo+from) })
}

func (x *NTXent) gradientBlock(dz, lse []float32, lo int) {
	n := len(dz) / x.D
	first, second := tiles.get(), tiles.get()
	defer tiles.put(first)
	defer tiles.put(second)
	var shift [tileKeys]float32
	clear(dz)
	for at := 0; at < x.rows(); at += tileKeys {
		byRow, width := x.scores(first, lo, n, at)
		byColumn := second[:len(byRow)]
		for j := range width {
			shift[j] = -lse[at+j]
		}
		copy(byColumn, byRow)
		simd.AddRow(byColumn, shift[:width], n, width)
		simd.Exp(byColumn, byColumn)
		for i := range n {
			p := byRow[i*width : (i+1)*width]
			simd.ExpSum(p, p, lse[lo+i])
			simd.Add(p, byColumn[i*width:(i+1)*width])
			if own := lo + i - at; own >= 0 && own < width {
				p[own] = 0
			}
		}
		simd.Gemm(false, false, n, x.D, width, 1, byRow, width, x.Z[at*x.D:], x.D, 1, dz, x.D)
	}
	factor := 1 / (float32(x.rows()) * x.Tau)
	for i := range n {
		row := dz[i*x.D : (i+1)*x.D]
		simd.Axpy(row, -2, x.row(x.positive(lo+i)))
		simd.Scale(row, factor)
	}
}
