package simd

import "math"

// Coefficients of exp: x = n·ln 2 + r with |r| ≤ ln 2 / 2, the Taylor series of eʳ to r⁷ (the next term is below 2⁻²⁷ of the sum), and a
// multiplication by 2ⁿ in two halves, so that subnormal results are rounded once. ln 2 is split as Cody and Waite do ("Software
// Manual for the Elementary Functions", 1980): the high part has so few bits that n·ln2High is exact.
const (
	expLow   = -104 // eˣ rounds to zero below
	expHigh  = 89   // and to infinity above
	log2E    = 1.44269504088896340736
	ln2High  = 0.693359375
	ln2Low   = 0.69314718055994530942 - ln2High
	expTerm2 = 1.0 / 2
	expTerm3 = 1.0 / 6
	expTerm4 = 1.0 / 24
	expTerm5 = 1.0 / 120
	expTerm6 = 1.0 / 720
	expTerm7 = 1.0 / 5040
)

// Exp computes dst[i] = exp(x[i]) over all of x, within 2 units in the last place; dst may be x. Overflow gives +Inf, underflow
// subnormal numbers and then 0, NaN stays NaN. A value's result does not depend on its place in the slice.
func Exp(dst, x []float32) {
	wantLen("Exp", "dst", dst, len(x))
	expBlock(dst[:len(x)], x, 0)
}

// ExpSum computes dst[i] = exp(x[i]−shift) over all of x and returns the sum of the results; dst may be x. Element i is summed in lane i mod 8
// of its run of 4096 elements.
func ExpSum(dst, x []float32, shift float32) float32 {
	wantLen("ExpSum", "dst", dst, len(x))
	total := 0.0
	for len(x) > sumRun {
		total += float64(expBlock(dst[:sumRun], x[:sumRun], shift))
		dst, x = dst[sumRun:], x[sumRun:]
	}
	return float32(total + float64(expBlock(dst[:len(x)], x, shift)))
}

// Exp1 returns exp(x), the same bits as [Exp] gives.
func Exp1(x float32) float32 {
	v := [1]float32{x}
	expBlock(v[:], v[:], 0)
	return v[0]
}

// Sqrt returns the square root of x, correctly rounded.
func Sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// Log returns the natural logarithm of x, within 1 unit in the last place and with the same bits in every profile. It is −Inf at 0 and
// NaN below. The mantissa f in [√½, √2) goes through log f = 2·atanh((f−1)/(f+1)), summed in float64.
func Log(x float32) float32 {
	switch {
	case x != x || x > math.MaxFloat32:
		return x
	case x == 0:
		return float32(math.Inf(-1))
	case x < 0:
		return float32(math.NaN())
	}
	f, e := math.Frexp(float64(x))
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	s := (f - 1) / (f + 1)
	z := float64(s * s)
	// |s| ≤ 0.172: the first term left out, z⁸/17, is below 2⁻⁴⁴.
	t := 1.0 / 15
	t = 1.0/13 + float64(z*t)
	t = 1.0/11 + float64(z*t)
	t = 1.0/9 + float64(z*t)
	t = 1.0/7 + float64(z*t)
	t = 1.0/5 + float64(z*t)
	t = 1.0/3 + float64(z*t)
	t = 1 + float64(z*t)
	return float32(float64(float64(e)*math.Ln2) + float64(2*float64(s*t)))
}
