package optim

// squares is Σ x² in float64, where the square of a float32 is exact: element i is added in lane i mod 4, then the lanes in order.
func squares(x []float32) float64 {
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

// squaresDecayed is Σ (g + decay·p)² by squares of 256 elements each, added in order; the summands are rounded as an update in float32 has them.
func squaresDecayed(g, p []float32, decay float32) float64 {
	const part = 256
	var sums [part]float32
	total := 0.0
	for lo := 0; lo < len(g); lo += part {
		n := min(part, len(g)-lo)
		for i, x := range g[lo : lo+n] {
			sums[i] = x + float32(decay*p[lo+i])
		}
		total += squares(sums[:n])
	}
	return total
}

func square(x float32) float64 { return float64(float64(x) * float64(x)) }
