package simd

import "math"

// Coefficients of GELU. The normal distribution's upper tail is Q(a) = e^(−a²/2)·R(a) with a smooth R, half the scaled complementary error
// function at a/√2. R is t·P(t) with t = 1/(1 + 0.3·a), as in Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26, with a
// P of degree 7 fitted to the relative error over 0 ≤ a ≤ 14: below 2·10⁻⁷.
const (
	normalDensity = 0.39894228040143267794 // 1/√(2π)
	tailDecay     = 0.3
	tailTerm0     = 0.11962587077
	tailTerm1     = 0.1208121848
	tailTerm2     = 0.09951351372
	tailTerm3     = 0.130004988
	tailTerm4     = -0.056644973401
	tailTerm5     = 0.20981958577
	tailTerm6     = -0.15935454725
	tailTerm7     = 0.036223373834

	tanhCubic = 0.044715
	tanhRoot2 = 1.59576912160573071176 // 2·√(2/π)
)

// GELU computes y[i] = x·Φ(x), x = x[i] and Φ the normal distribution, and its derivative slope[i] = Φ(x) + x·Φ′(x), over all of x
// (Hendrycks and Gimpel, "Gaussian error linear units", 2016). y or slope may be x.
func GELU(y, slope, x []float32) {
	wantLen("GELU", "y", y, len(x))
	wantLen("GELU", "slope", slope, len(x))
	elements(y[:len(x)], slope[:len(x)], x, gelu)
}

// GELUTanh is GELU with Φ(x) approximated by (1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, as the same paper has it.
func GELUTanh(y, slope, x []float32) {
	wantLen("GELUTanh", "y", y, len(x))
	wantLen("GELUTanh", "slope", slope, len(x))
	elements(y[:len(x)], slope[:len(x)], x, geluTanh)
}

func geluPortable(y, slope, x []float32) {
	for i, v := range x {
		e := expPortable(float32(float32(v*v) * -0.5))
		t := 1 / (1 + float32(tailDecay*abs32(v)))
		s := float32(tailTerm7)
		for _, c := range [...]float32{tailTerm6, tailTerm5, tailTerm4, tailTerm3, tailTerm2, tailTerm1, tailTerm0} {
			s = c + float32(s*t)
		}
		s = float32(float32(s*t) * e)
		if !math.Signbit(float64(v)) {
			s = 1 - s
		}
		y[i], slope[i] = v*s, s+float32(float32(e*normalDensity)*v)
	}
}

func geluTanhPortable(y, slope, x []float32) {
	for i, v := range x {
		square := float32(v * v)
		u := float32((v + float32(float32(square*v)*tanhCubic)) * tanhRoot2)
		s := 1 / (1 + expPortable(-u))
		value := float32(v * s)
		rise := (1 + float32(square*(3*tanhCubic))) * tanhRoot2
		y[i], slope[i] = value, s+float32(float32((1-s)*value)*rise)
	}
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
