package objective

import "github.com/sslctl/sslctl/pkg/simd"

// Center writes the rows of z (n, d) less the mean of the whole batch, given the sums of its columns over all samples, (d).
func Center(dst, z, sums []float32, samples int) {
	d := len(sums)
	back := make([]float32, d)
	for j, s := range sums {
		back[j] = float32(-float64(s) / float64(samples))
	}
	copy(dst, z)
	simd.AddRow(dst, back, len(z)/d, d)
}
