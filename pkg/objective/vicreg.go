package objective

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// VICReg is variance-invariance-covariance regularisation (Bardes, Ponce and LeCun, ICLR 2022, eqs. 1 to 6, with the weights of the
// authors' code) of raw embeddings a and b (B, d) of two views, whose columns are centred over the whole batch first:
//
//	L = α·1/(Bd)·‖a − b‖² + μ·1/2·Σ_{z=a,b} 1/d·Σⱼ max(0, 1 − √(Sⱼⱼ + ε)) + ν·Σ_{z=a,b} 1/d·Σ_{j≠k} Sⱼₖ²,  S = zᵀz/(B − 1)
//
// Scatter and Distance are sums over samples, so that each virtual rank computes its own part. Whoever has their totals has the loss, and
// the gradient of any row from that row alone.
type VICReg struct {
	D          int     // d
	Samples    int     // B, 2 or more
	Invariance float64 // α
	Variance   float64 // μ
	Covariance float64 // ν
}

// vicregEps is ε.
const vicregEps = 1e-4

// Scatter writes zᵀz (d, d) of some centred rows z (n, d) of one view.
func (v VICReg) Scatter(dst, z []float32) {
	simd.Gemm(true, false, v.D, v.D, len(z)/v.D, 1, z, v.D, z, v.D, 0, dst, v.D)
}

// Distance is ‖a − b‖² of some rows of both views, not centred.
func (v VICReg) Distance(a, b []float32) (sum float64) {
	for i, x := range a {
		difference := float64(x) - float64(b[i])
		sum += float64(difference * difference)
	}
	return sum
}

// VICRegTerms are the three terms of a loss, before their weights.
type VICRegTerms struct{ Invariance, Variance, Covariance float64 }

// Loss is the weighted sum of the terms.
func (v VICReg) Loss(t VICRegTerms) float64 {
	return float64(v.Invariance*t.Invariance) + float64(v.Variance*t.Variance) + float64(v.Covariance*t.Covariance)
}

// Collapsed is the loss of embeddings that are all alike.
func (v VICReg) Collapsed() float64 { return v.Variance * (1 - math.Sqrt(vicregEps)) }

// Terms computes the terms from the totals over the whole batch: the scatter of each view, (d, d), and the distance. It turns the scatters in
// place into what Gradient multiplies rows with.
func (v VICReg) Terms(scatters [2][]float32, distance float64) VICRegTerms {
	t := VICRegTerms{Invariance: distance / float64(v.Samples*v.D)}
	for _, s := range scatters {
		variance, covariance := v.turn(s)
		t.Variance += variance / 2
		t.Covariance += covariance
	}
	return t
}

// turn replaces zᵀz by the symmetric M with ∂(μ/2·variance + ν·covariance)/∂z = z·M, and returns the two terms of the view.
func (v VICReg) turn(scatter []float32) (variance, covariance float64) {
	d, freedom := float64(v.D), float64(v.Samples-1)
	spread := 4 * v.Covariance / (d * freedom)
	for j := range v.D {
		row := scatter[j*v.D : (j+1)*v.D]
		for k, x := range row {
			s := float64(x) / freedom
			if k != j {
				covariance += float64(s*s) / d
				row[k] = float32(spread * s)
				continue
			}
			deviation := math.Sqrt(s + vicregEps)
			row[k] = 0
			if !(deviation >= 1) { // NaN stays in the loss
				variance += (1 - deviation) / d
				row[k] = float32(-v.Variance / (2 * d * freedom * deviation))
			}
		}
	}
	return variance, covariance
}

// Gradient writes ∂L/∂z of some rows (n, d) of a view: centred are those rows, z and other the same rows and the other view's, not
// centred, m is what Terms has left of the view's scatter.
func (v VICReg) Gradient(dz, centred, z, other, m []float32) {
	pull := float32(2 * v.Invariance / float64(v.Samples*v.D))
	copy(dz, z)
	simd.Axpy(dz, -1, other)
	simd.Gemm(false, false, len(z)/v.D, v.D, v.D, 1, centred, v.D, m, v.D, pull, dz, v.D)
}
