package simd

// The operations below have the same bits in every profile: each product, sum and quotient is rounded by itself.

// Mix computes dst[i] = x[i]·a + y[i]·b over all of x; dst may be x or y.
func Mix(dst, x, y []float32, a, b float32) {
	wantLen("Mix", "dst", dst, len(x))
	wantLen("Mix", "y", y, len(x))
	mix(dst[:len(x)], x, y[:len(x)], a, b)
}

// Adjust computes dst[i] = ((x[i] − mean)·contrast + mean)·brightness, clamped to [0, 1], over all of x; dst may be x. NaN becomes 0.
func Adjust(dst, x []float32, mean, contrast, brightness float32) {
	wantLen("Adjust", "dst", dst, len(x))
	adjust(dst[:len(x)], x, mean, contrast, brightness)
}

// StandardRun is the length of the pattern of [Standardize].
const StandardRun = 24

// Standardize computes dst[i] = (x[i] − mean[i mod 24]) / std[i mod 24] over all of x; dst may be x. So it serves pixels of any number of channels
// that divides 24, if mean and std repeat what each channel has.
func Standardize(dst, x []float32, mean, std *[StandardRun]float32) {
	wantLen("Standardize", "dst", dst, len(x))
	standardize(dst[:len(x)], x, mean, std)
}

// PowerTables are what [PowerTables.Power] looks up. Inverse[i] is 1/c and Log2[i] is log₂ c of a value c in or near the middle of the i-th of 128
// equal parts of [1, 2), Exp2[i] is 2^(i/64).
type PowerTables struct {
	Inverse, Log2 [1 << powerLogBits]float64
	Exp2          [1 << powerExpBits]float64
}

const (
	powerLogBits = 7 // of the mantissa, which choose a value of Log2
	powerExpBits = 6 // of the exponent's fraction, which choose a value of Exp2
)

// Power computes dst[i] = v^y, v being x[i] clamped to [10⁻⁴, 1], over all of x, for y > 0; dst may be x. NaN counts as 10⁻⁴. The relative error is
// below 1e-7 where |y·log₂ v| < 100; what is below 2⁻²⁰⁰ is 0.
func (t *PowerTables) Power(dst, x []float32, y float64) {
	wantLen("Power", "dst", dst, len(x))
	power(dst[:len(x)], x, y, t)
}
