package simd

import (
	"math"
	"testing"
)

// ulps returns the distance of got from want in units in the last place of want's float32 neighbourhood.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	unit := math.Abs(float64(math.Nextafter32(w, float32(math.Inf(1))) - w))
	return math.Abs(float64(got)-want) / unit
}

func TestExpAccuracy(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		var x []float32
		for v := float32(-103.5); v < 88.7; v += 0.0037 {
			x = append(x, v)
		}
		for v := float32(1e-30); v < 1; v *= 1.1 {
			x = append(x, v, -v)
		}
		y := make([]float32, len(x))
		Exp(y, x)
		worst, at := 0.0, 0
		for i, v := range x {
			if u := ulps(y[i], math.Exp(float64(v))); u > worst {
				worst, at = u, i
			}
		}
		if worst > 2 {
			t.Fatalf("exp(%v) = %v is %.2f units off", x[at], y[at], worst)
		}
		t.Logf("largest error %.3f units in the last place, at %v", worst, x[at])
	})
}

func TestExpSpecialValues(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		for _, c := range []struct{ x, want float32 }{
			{0, 1}, {inf, inf}, {-inf, 0}, {89, inf}, {1e30, inf}, {-104, 0}, {-1e30, 0}, {nan, nan},
			{88.72, float32(math.Exp(float64(float32(88.72))))},
		} {
			if got := Exp1(c.x); got != c.want && !(got != got && c.want != c.want) && ulps(got, float64(c.want)) > 2 {
				t.Errorf("exp(%v) = %v, want %v", c.x, got, c.want)
			}
		}
	})
}

func TestExpIsTheSameAtEveryPlace(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		x := random(100, 1)
		whole := make([]float32, len(x))
		Exp(whole, x)
		for i := range x {
			wantSame(t, []float32{Exp1(x[i])}, whole[i:i+1])
			part := make([]float32, len(x)-i)
			Exp(part, x[i:])
			wantSame(t, part, whole[i:])
		}
	})
}

func TestExpSum(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range lengths {
			x := random(n, 1)
			shift := float32(0.75)
			want, sum := make([]float64, n), 0.0
			for i, v := range x {
				want[i] = math.Exp(float64(v - shift))
				sum += want[i]
			}
			got := append([]float32(nil), x...)
			total := ExpSum(got, got, shift) // in place
			wantClose(t, "values", got, want, 2e-7)
			if math.Abs(float64(total)-sum) > 2e-6*sum {
				t.Errorf("sum over %d is %v, want %v", n, total, sum)
			}
		}
	})
}

func TestLogAccuracy(t *testing.T) {
	worst, at := 0.0, float32(0)
	for bits := uint32(1); bits < 0x7f800000; bits += 9973 {
		x := math.Float32frombits(bits)
		if x == 1 {
			continue
		}
		if u := ulps(Log(x), math.Log(float64(x))); u > worst {
			worst, at = u, x
		}
	}
	if worst > 1 {
		t.Fatalf("log(%v) = %v is %.2f units off", at, Log(at), worst)
	}
	t.Logf("largest error %.3f units in the last place, at %v", worst, at)
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{{1, 0}, {0, -inf}, {inf, inf}} {
		if got := Log(c.x); got != c.want {
			t.Errorf("log(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := Log(-1); got == got {
		t.Errorf("log(-1) = %v, want NaN", got)
	}
}

func TestSqrt(t *testing.T) {
	for _, x := range []float32{0, 1, 2, 1e-40, 3e38} {
		if got, want := Sqrt(x), float32(math.Sqrt(float64(x))); got != want {
			t.Errorf("sqrt(%v) = %v, want %v", x, got, want)
		}
	}
}
