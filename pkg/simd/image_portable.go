package simd

import "math"

func mixPortable(dst, x, y []float32, a, b float32) {
	for i, v := range x {
		dst[i] = float32(v*a) + float32(y[i]*b)
	}
}

func adjustPortable(dst, x []float32, mean, contrast, brightness float32) {
	for i, v := range x {
		v = float32((float32((v-mean)*contrast) + mean) * brightness)
		if !(v > 0) {
			v = 0
		}
		dst[i] = min(v, 1)
	}
}

func standardizePortable(dst, x []float32, mean, std *[StandardRun]float32) {
	for i, v := range x {
		dst[i] = (v - mean[i%StandardRun]) / std[i%StandardRun]
	}
}

// powerPortable computes 2^(y·log₂ x) by tables and short series in float64, each product rounded before it is added.
func powerPortable(dst, x []float32, y float64, table *PowerTables) {
	for i, v := range x {
		if !(v > 1e-4) {
			v = 1e-4
		}
		dst[i] = table.powerOf(min(v, 1), y)
	}
}

func (t *PowerTables) powerOf(x float32, y float64) float32 {
	// x = 2^e·m with m in [1, 2), m = c·(1+r) with |r| < 2⁻⁷: log₂ x = e + log₂ c + (r − r²/2 + r³/3 − r⁴/4)/ln 2.
	bits := math.Float32bits(x)
	m := float64(math.Float32frombits(bits&0x7fffff | 0x3f800000))
	line := bits >> (23 - powerLogBits) & (1<<powerLogBits - 1)
	r := float64(m*t.Inverse[line]) - 1
	p := 1./3 - float64(r*(1./4))
	p = -1./2 + float64(r*p)
	p = 1 + float64(r*p)
	e := float64(y * (float64(int32(bits>>23)-127) + t.Log2[line] + float64(float64(r*(1/math.Ln2))*p)))
	if e < -200 {
		return 0
	}
	// 2^e = 2^(k/64)·exp s with |s| ≤ ln 2 / 128. Adding and subtracting 1.5·2⁴⁶ rounds to a multiple of 1/64.
	const shift = 0x1.8p46
	k := (e + shift) - shift
	s := float64((e - k) * math.Ln2)
	q := 1./2 + float64(s*(1./6))
	q = 1 + float64(s*q)
	q = 1 + float64(s*q)
	n := int64(k * (1 << powerExpBits))
	scale := math.Float64frombits(uint64(n>>powerExpBits+1023) << 52)
	return float32(float64(q*t.Exp2[n&(1<<powerExpBits-1)]) * scale)
}
