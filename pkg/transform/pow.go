package transform

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
)

const (
	logBits = 7 // of the mantissa, which choose a line of logTable
	expBits = 6 // of the exponent's fraction, which choose a value of expTable
)

// logTable holds, for each run of mantissas, the inverse of a value c near its middle and log₂ c. The first line has c = 1, so that 1^y is 1.
var logTable = func() (t [1 << logBits]struct{ inverse, log2 float64 }) {
	for i := range t {
		c := 1.0
		if i > 0 {
			c += float64((float64(i) + 0.5) / (1 << logBits))
		}
		t[i].inverse, t[i].log2 = 1/c, keyed.Log(c)/math.Ln2
	}
	return t
}()

// expTable holds 2^(i/64).
var expTable = func() (t [1 << expBits]float64) {
	for i := range t {
		t[i] = keyed.Exp(math.Ln2 * float64(i) / (1 << expBits))
	}
	return t
}()

// power is x^y rounded to float32, for normal x up to 1 and y > 0, with a relative error below 1e-7 where |y·log₂ x| < 100; what is below 2⁻²⁰⁰
// is 0. It gives the same bits on every CPU: 2^(y·log₂ x) by tables and short series in float64, each product rounded before it is added.
func power(x float32, y float64) float32 {
	// x = 2^e·m with m in [1, 2), m = c·(1+r) with |r| < 2⁻⁷: log₂ x = e + log₂ c + (r − r²/2 + r³/3 − r⁴/4)/ln 2.
	bits := math.Float32bits(x)
	m := float64(math.Float32frombits(bits&0x7fffff | 0x3f800000))
	line := &logTable[bits>>(23-logBits)&(1<<logBits-1)]
	r := float64(m*line.inverse) - 1
	p := 1./3 - float64(r*(1./4))
	p = -1./2 + float64(r*p)
	p = 1 + float64(r*p)
	t := float64(y * (float64(int32(bits>>23)-127) + line.log2 + float64(float64(r*(1/math.Ln2))*p)))
	if t < -200 {
		return 0
	}
	// 2^t = 2^(k/64)·e^s with |s| ≤ ln 2 / 128. Adding and subtracting 1.5·2⁴⁶ rounds to a multiple of 1/64.
	const shift = 0x1.8p46
	k := (t + shift) - shift
	s := float64((t - k) * math.Ln2)
	q := 1./2 + float64(s*(1./6))
	q = 1 + float64(s*q)
	q = 1 + float64(s*q)
	n := int64(k * (1 << expBits))
	scale := math.Float64frombits(uint64(n>>expBits+1023) << 52)
	return float32(q * expTable[n&(1<<expBits-1)] * scale)
}
