package objective

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// Barlow is the objective of Barlow Twins (Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", ICML 2021,
// eqs. 1 and 2) for raw embeddings of two views (B, d), whose columns are standardised over the whole batch first: less their mean, over the
// root of their variance (biased, plus ε = 1e-5, as a batch norm does):
//
//	L = Σⱼ (Cⱼⱼ − 1)² + λ·Σ_{j≠k} Cⱼₖ²,  C = âᵀb̂/B
//
// Correlation is a sum over samples, so that each virtual rank computes its own part. Whoever has the total has the loss, and the
// gradient of any row from that row alone.
type Barlow struct {
	D          int     // d
	Samples    int     // B
	Redundancy float64 // λ
}

// barlowEps is ε.
const barlowEps = 1e-5

// Scales writes the factors 1/√(variance + ε) that standardise centred columns, given their squares summed over the batch, both (d).
func (b Barlow) Scales(dst, squares []float32) {
	for j, s := range squares {
		dst[j] = float32(1 / math.Sqrt(float64(s)/float64(b.Samples)+barlowEps))
	}
}

// Correlation writes âᵀb̂ (d, d) of some standardised rows (n, d) of both views.
func (b Barlow) Correlation(dst, first, second []float32) {
	simd.Gemm(true, false, b.D, b.D, len(first)/b.D, 1, first, b.D, second, b.D, 0, dst, b.D)
}

// BarlowTerms are the parts of a loss, and what its gradient needs. The zero value may be filled any number of times.
type BarlowTerms struct {
	Invariance  float64 // Σⱼ (Cⱼⱼ − 1)²
	Redundancy  float64 // Σ_{j≠k} Cⱼₖ²
	slopes      []float32
	scales      [2][]float32
	along       [2][]float64 // Σ of ∂L/∂C·C over the other view's columns, by column of each view
	corrections [2][]float32 // −scale·mean(∂L/∂ẑ·ẑ), by column of each view
	none        []float32    // d zeros
}

func (t *BarlowTerms) reset(d int) {
	t.Invariance, t.Redundancy = 0, 0
	if len(t.none) != d {
		t.none = make([]float32, d)
		for view := range 2 {
			t.along[view], t.corrections[view] = make([]float64, d), make([]float32, d)
		}
	}
	clear(t.along[0])
	clear(t.along[1])
}

// Loss is the weighted sum of the parts.
func (b Barlow) Loss(t *BarlowTerms) float64 {
	return t.Invariance + float64(b.Redundancy*t.Redundancy)
}

// Terms fills t from the total of Correlation over the whole batch, which it overwrites, and the scales of each view. Gradient reads both.
func (b Barlow) Terms(t *BarlowTerms, correlation []float32, scales [2][]float32) {
	t.reset(b.D)
	t.slopes, t.scales = correlation, scales
	n := float64(b.Samples)
	for j := range b.D {
		row := correlation[j*b.D : (j+1)*b.D]
		for k, x := range row {
			c := float64(x) / n
			slope := 2 * b.Redundancy * c
			if j == k {
				t.Invariance += float64((c - 1) * (c - 1))
				slope = 2 * (c - 1)
			} else {
				t.Redundancy += float64(c * c)
			}
			row[k] = float32(slope / n)
			t.along[0][j] += float64(slope * c)
			t.along[1][k] += float64(slope * c)
		}
	}
	for view, scale := range scales {
		for j, along := range t.along[view] {
			t.corrections[view][j] = float32(-along / n * float64(scale[j]))
		}
	}
}

// Gradient writes the loss's gradient by some raw rows of a view (0 or 1), dz (n, d): own are those rows and other the same rows of the other
// view, both standardised. With G = ∂L/∂C, ∂L/∂â = b̂·Gᵀ/B and ∂L/∂b̂ = â·G/B; through the standardisation, whose first correction (the
// mean of that gradient) is 0 since the other view is centred:
//
//	∂L/∂z = scale·(∂L/∂ẑ − ẑ·mean(∂L/∂ẑ·ẑ))
func (b Barlow) Gradient(dz, own, other []float32, t *BarlowTerms, view int) {
	n := len(own) / b.D
	simd.Gemm(false, view == 0, n, b.D, b.D, 1, other, b.D, t.slopes, b.D, 0, dz, b.D)
	simd.Affine2(dz, dz, own, t.scales[view], t.corrections[view], t.none, n, b.D)
}
