package optim

// squares is Σ x² in float64, where the square of a float32 is exact: element i is added in lane i mod 4, then the lanes in order.
func squares(x []float32) float64 {
	var lanes [4]float64
	for i, v := range x {
		lanes[i&3] += square(v)
	}
	return lanes[0] + lanes[1] + lanes[2] + lanes[3]
}

// squaresDecayed is Σ (g + decay·p)² in the order of squares, of summands rounded as an update in float32 has them.
func squaresDecayed(g, p []float32, decay float32) float64 {
	var lanes [4]float64
	p = p[:len(g)]
	for i, x := range g {
		lanes[i&3] += square(x + float32(decay*p[i]))
	}
	return lanes[0] + lanes[1] + lanes[2] + lanes[3]
}

func square(x float32) float64 { return float64(float64(x) * float64(x)) }
