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

// BarlowTerms are the parts of a loss, and what its gradient needs.
type BarlowTerms struct {
	Invariance float64 // Σⱼ (Cⱼⱼ − 1)²
	Redundancy float64 // Σ_{j≠k} Cⱼₖ²
	slopes     []float32
	along      [2][]float32 // −1/B·Σ over the rows of ∂L/∂ẑ·ẑ, by column, of each view
}

// Loss is the weighted sum of the parts.
func (b Barlow) Loss(t *BarlowTerms) float64 {
	return t.Invariance + float64(b.Redundancy*t.Redundancy)
}

// Terms computes the loss from the total of Correlation over the whole batch, which it overwrites.
func (b Barlow) Terms(correlation []float32) *BarlowTerms {
	t := &BarlowTerms{slopes: correlation, along: [2][]float32{make([]float32, b.D), make([]float32, b.D)}}
	first, second := make([]float64, b.D), make([]float64, b.D)
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
			first[j] += float64(slope * c)
			second[k] += float64(slope * c)
		}
	}
	for j := range b.D {
		t.along[0][j], t.along[1][j] = float32(-first[j]/n), float32(-second[j]/n)
	}
	return t
}

// Gradient writes the loss's gradient by some raw rows of a view (0 or 1), dz (n, d): own are those rows and other the same rows of the other
// view, both standardised, scales the view's factors (d). With G = ∂L/∂C, ∂L/∂â = b̂·Gᵀ/B and ∂L/∂b̂ = â·G/B; through the standardisation,
// whose first correction (the mean of that gradient) is 0 since the other view is centred:
//
//	∂L/∂z = scale·(∂L/∂ẑ − ẑ·mean(∂L/∂ẑ·ẑ))
func (b Barlow) Gradient(dz, own, other, scales []float32, t *BarlowTerms, view int) {
	n := len(own) / b.D
	simd.Gemm(false, view == 0, n, b.D, b.D, 1, other, b.D, t.slopes, b.D, 0, dz, b.D)
	correction := make([]float32, b.D)
	for j := range correction {
		correction[j] = float32(scales[j] * t.along[view][j])
	}
	simd.Affine2(dz, dz, own, scales, correction, make([]float32, b.D), n, b.D)
}
