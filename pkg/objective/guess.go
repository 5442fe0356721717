package objective

import "github.com/sslctl/sslctl/pkg/simd"

// Guess compares unit guesses p (n, d) with the unit targets z (n, d) that they are guesses at, which get no gradient: the terms of BYOL
// (Grill et al., "Bootstrap your own latent", NeurIPS 2020, eq. 2: ‖p − z‖² = 2 − 2·p·z) and of SimSiam (Chen and He, "Exploring simple
// siamese representation learning", CVPR 2021, eq. 1: −p·z). It writes the gradient of −scale·Σᵢ pᵢ·zᵢ by the guesses, dp (n, d), and
// returns Σᵢ pᵢ·zᵢ.
func Guess(dp, p, z []float32, d int, scale float32) (cosines float64) {
	for i := 0; i < len(p); i += d {
		cosines += float64(simd.Dot(p[i:i+d], z[i:i+d]))
	}
	copy(dp, z)
	simd.Scale(dp, -scale)
	return cosines
}
