package keyed

import "math"

// The functions of this file give the same bits on every CPU: the standard library's choose between assembly and Go by architecture,
// and some by CPU feature. Every product that feeds a sum is converted explicitly, which forbids the compiler to fuse the two.

const (
	pi    = 3.14159265358979323846
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

func sqrt(x float64) float64 { return math.Sqrt(x) } // correctly rounded everywhere (IEEE 754)

// Exp is eˣ, within 2 ulp. It is 0 below −745.2 and +Inf above 709.8.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := math.Floor(float64(x*(1/0.693147180559945309417)) + 0.5)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	// Taylor series of eʳ for |r| ≤ ln 2 / 2: the 14th term is below 2⁻⁵⁴ of the sum.
	s := 1.0
	for n := 14.0; n >= 1; n-- {
		s = 1 + float64(s*(r/n))
	}
	return math.Ldexp(s, int(k))
}

// Log is the natural logarithm, within 2 ulp. It is −Inf at 0 and NaN below.
func Log(x float64) float64 {
	switch {
	case x != x || math.IsInf(x, 1):
		return x
	case x == 0:
		return math.Inf(-1)
	case x < 0:
		return math.NaN()
	}
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	// log f = 2·atanh(s) with s = (f−1)/(f+1), |s| ≤ 0.172: the series is below 2⁻⁵⁴ after the term s²³.
	s := (f - 1) / (f + 1)
	z := float64(s * s)
	sum := 0.0
	for n := 23.0; n >= 3; n -= 2 {
		sum = float64(z * (1/n + sum))
	}
	t := 2 * float64(s+float64(s*sum))
	k := float64(e)
	return float64(k*ln2Hi) + (t + float64(k*ln2Lo))
}

// Pow is xʸ for x > 0, as exp(y·log x); it is 0 for x = 0 and y > 0, 1 for y = 0. Its relative error grows with |y·log x|: about
// 1e-15 times that.
func Pow(x, y float64) float64 {
	switch {
	case y == 0:
		return 1
	case x == 0 && y > 0:
		return 0
	}
	return Exp(float64(y * Log(x)))
}

// Cos is the cosine of x in radians, for |x| ≤ 2²⁰: absolute error below 1e-15·max(1, |x|).
func Cos(x float64) float64 { return Sin(float64(x) + pi/2) }

// Sin is the sine of x in radians, for |x| ≤ 2²⁰: absolute error below 1e-15·max(1, |x|).
func Sin(x float64) float64 {
	if math.IsInf(x, 0) || x != x {
		return math.NaN()
	}
	// π in two parts, the first with 33 bits: k·piHi is exact for |k| < 2²⁰.
	const piHi, piLo = 3.1415926534682512, 1.2154201256553420762e-10
	k := math.Floor(x/pi + 0.5)
	r := (x - float64(k*piHi)) - float64(k*piLo)
	z := float64(r * r)
	// Taylor series for |r| ≤ π/2, Horner form: 1 − z/(2·3)·(1 − z/(4·5)·(…)).
	s := 1.0
	for n := 24.0; n >= 2; n -= 2 {
		s = 1 - float64(z/float64(n*(n+1))*s)
	}
	s *= r
	if math.Mod(k, 2) != 0 {
		return -s
	}
	return s
}
