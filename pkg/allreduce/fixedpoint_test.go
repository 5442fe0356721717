package allreduce

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// finite draws any finite float32, bit patterns being equally likely.
func finite(t *rapid.T) float32 {
	b := rapid.Uint32().Draw(t, "bits")
	if b&0x7f800000 == 0x7f800000 {
		b &^= 0x00800000
	}
	return math.Float32frombits(b)
}

// A block of one value of each virtual rank, coded and added, against the definition in float64 and int64.
func TestCodeAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.IntRange(1, MaxVirtualRanks).Draw(t, "V")
		x := make([][]float32, v)
		exponent := byte(0)
		for i := range x {
			x[i] = []float32{finite(t)}
			if i > 0 && rapid.Bool().Draw(t, "like the first") {
				x[i][0] = x[0][0]
			}
			exponent = max(exponent, maxExponent(x[i]))
		}
		bits := valueBits(v)
		e := exponent2(exponent)
		want := int64(0)
		for i := range x {
			if math.Abs(float64(x[i][0])) >= math.Ldexp(1, e) {
				t.Fatalf("%g is not below 2^%d", x[i][0], e)
			}
			one := int64(math.RoundToEven(math.Ldexp(float64(x[i][0]), bits-e)))
			if one >= 1<<bits || one <= -1<<bits {
				t.Fatalf("%g takes more than %d bits", x[i][0], bits)
			}
			want += one
		}
		code := fixedPoint{own: x, sum: make([]float32, 1), exponents: []byte{exponent}, bits: bits}
		q := []int32{12345}
		code.set(q, 0)
		if int64(q[0]) != want {
			t.Fatalf("set: %d, want %d", q[0], want)
		}
		code.add(q, 0)
		if q[0] != int32(2*want) {
			t.Fatalf("add: %d, want %d", q[0], int32(2*want))
		}
		q[0] = int32(want)
		code.decode(bytesOf(q), 0)
		code.result(bytesOf(q), 0)
		if sum := float32(math.Ldexp(float64(want), e-bits)); code.sum[0] != sum || code.overflow != math.IsInf(float64(sum), 0) {
			t.Fatalf("result: %g (overflow %t), want %g", code.sum[0], code.overflow, sum)
		}
	})
}

func TestHeadroom(t *testing.T) {
	for v := 1; v <= MaxVirtualRanks; v++ {
		bits := valueBits(v)
		if bits < 25 || int64(v)*(1<<bits-1) > math.MaxInt32 || 2*int64(v)*(1<<bits) <= math.MaxInt32 && v > 1 {
			t.Errorf("V=%d: %d bits", v, bits)
		}
	}
}
