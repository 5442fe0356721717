package simd

func squares(x []float32) float64 {
	if !vectorised {
		return squaresPortable(x)
	}
	return squaresAVX2(at(x), len(x))
}

func squaresDecayed(g, p []float32, decay float32) float64 {
	if !vectorised {
		return squaresDecayedPortable(g, p, decay)
	}
	return squaresDecayedAVX2(at(g), at(p), decay, len(g))
}
