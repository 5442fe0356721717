//go:build !amd64

package simd

func squares(x []float32) float64 { return squaresPortable(x) }

func squaresDecayed(g, p []float32, decay float32) float64 {
	return squaresDecayedPortable(g, p, decay)
}
