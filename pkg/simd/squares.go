package simd

// Squares returns Σ x² in float64, where the square of a float32 is exact: element i is added in lane i mod 4, then the lanes in order. The bits
// are the same in every profile.
func Squares(x []float32) float64 { return squares(x) }

// SquaresDecayed returns Σ (g + decay·p)² over all of g, by [Squares] of 256 elements each, added in order; the terms are rounded as [Descent]
// rounds them.
func SquaresDecayed(g, p []float32, decay float32) float64 {
	wantLen("SquaresDecayed", "p", p, len(g))
	const part = 256
	total := 0.0
	for ; len(g) > part; g, p = g[part:], p[part:] {
		total += squaresDecayed(g[:part], p[:part], decay)
	}
	return total + squaresDecayed(g, p[:len(g)], decay)
}

func squaresPortable(x []float32) float64 {
	var a, b, c, d float64
	for ; len(x) >= 4; x = x[4:] {
		a += square(x[0])
		b += square(x[1])
		c += square(x[2])
		d += square(x[3])
	}
	rest := [4]float32{}
	copy(rest[:], x)
	return (a + square(rest[0])) + (b + square(rest[1])) + (c + square(rest[2])) + (d + square(rest[3]))
}

func squaresDecayedPortable(g, p []float32, decay float32) float64 {
	var lanes [4]float64
	for i, x := range g {
		lanes[i%4] += square(x + float32(decay*p[i]))
	}
	return lanes[0] + lanes[1] + lanes[2] + lanes[3]
}

func square(x float32) float64 { return float64(float64(x) * float64(x)) }
