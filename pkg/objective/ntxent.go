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
	eachBlock(len(lse), func(from, to int) { x.lseBlock(lse[from:to], lo+from) })
}

func (x *NTXent) lseBlock(lse []float32, lo int) {
	var maxima, sums [tileQueries]float32
	for i := range lse {
		maxima[i] = float32(math.Inf(-1))
	}
	// 2B is even, so that no tile is a row's own column alone.
	x.eachTile(lo, len(lse), func(at, width int, block, scores []float32) {
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
	})
	for i := range lse {
		lse[i] = float32(float64(maxima[i]) + keyed.Log(float64(sums[i])))
	}
}

// eachTile visits the scores of n rows from lo against all rows, tile by tile.
func (x *NTXent) eachTile(lo, n int, visit func(at, width int, block, scores []float32)) {
	Drawn{Rows: x.Z, D: x.D}.eachTile(x.Z[lo*x.D:], n, 1/x.Tau, visit)
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
	eachBlock(len(dz)/x.D, func(from, to int) { x.gradientBlock(dz[from*x.D:to*x.D], lse, lo+from) })
}

func (x *NTXent) gradientBlock(dz, lse []float32, lo int) {
	n := len(dz) / x.D
	tile := tiles.get()
	defer tiles.put(tile)
	var shift [tileKeys]float32
	clear(dz)
	x.eachTile(lo, n, func(at, width int, block, byRow []float32) {
		byColumn := tile[:n*width]
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
		simd.Gemm(false, false, n, x.D, width, 1, byRow, width, block, x.D, 1, dz, x.D)
	})
	factor := 1 / (float32(x.rows()) * x.Tau)
	for i := range n {
		row := dz[i*x.D : (i+1)*x.D]
		simd.Axpy(row, -2, x.row(x.positive(lo+i)))
		simd.Scale(row, factor)
	}
}
