package simd

import (
	"math"
	"testing"
)

// testPowers are tables as Power wants them.
func testPowers() *PowerTables {
	t := &PowerTables{}
	for i := range t.Inverse {
		c := 1 + (float64(i)+0.5)/float64(len(t.Inverse))
		t.Inverse[i], t.Log2[i] = 1/c, math.Log2(c)
	}
	for i := range t.Exp2 {
		t.Exp2[i] = math.Exp2(float64(i) / float64(len(t.Exp2)))
	}
	return t
}

// The changes of images are the same to the bit in assembly and in portable code, for numbers outside of images too.
func TestImageKernelsAreSharedByTheProfiles(t *testing.T) {
	tables := testPowers()
	var mean, std [StandardRun]float32
	copy(mean[:], random(StandardRun, 8))
	for i, v := range random(StandardRun, 9) {
		std[i] = 0.1 + v*v
	}
	for _, n := range lengths {
		x, y := random(n, 1), random(n, 2)
		copy(x, []float32{0, 1, 1e-4, float32(math.NaN()), -1, float32(math.Inf(1)), 1e-30, 0.5, float32(math.Copysign(0, -1))})
		results := map[bool][]float32{}
		for _, path := range []bool{true, false} {
			detected := vectorised
			vectorised = detected && path
			var got []float32
			dst := make([]float32, n+1)
			keep := func() {
				for _, v := range dst {
					if v == v { // which NaN it is depends on the order of two operands
						got = append(got, v)
					}
				}
			}
			Mix(dst, x, y, 0.3, 0.7)
			keep()
			Adjust(dst, x, 0.4, 1.3, 0.9)
			keep()
			Standardize(dst, x, &mean, &std)
			keep()
			for _, e := range []float64{0.05, 0.4, 1, 2.7, 20} {
				tables.Power(dst, x, e)
				keep()
			}
			if dst[n] != 0 {
				t.Fatalf("the element behind %d became %v", n, dst[n])
			}
			results[path] = got
			vectorised = detected
		}
		wantSame(t, results[true], results[false])
	}
}

func TestPower(t *testing.T) {
	tables := testPowers()
	eachPath(t, func(t *testing.T) {
		var x []float32
		for v := float32(1e-4); v < 1; v *= 1.0007 {
			x = append(x, v)
		}
		dst := make([]float32, len(x))
		for _, y := range []float64{0.05, 0.37, 1, 1.9, 7} {
			tables.Power(dst, x, y)
			for i, v := range x {
				if want := math.Pow(float64(v), y); math.Abs(float64(dst[i])-want) > 1.2e-7*want {
					t.Fatalf("%v^%v is %v, want %v", v, y, dst[i], want)
				}
			}
		}
	})
}

func TestStandardizeTakesChannels(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		var mean, std [StandardRun]float32
		for i := range mean {
			mean[i], std[i] = float32(i%3), float32(1+i%3)
		}
		x := random(3*35, 1)
		dst := make([]float32, len(x))
		Standardize(dst, x, &mean, &std)
		for i, v := range x {
			if want := (v - float32(i%3)) / float32(1+i%3); dst[i] != want {
				t.Fatalf("element %d is %v, want %v", i, dst[i], want)
			}
		}
	})
}

func BenchmarkImage(b *testing.B) {
	x := plain(28*28, 1)
	dst, tables := make([]float32, len(x)), testPowers()
	var mean, std [StandardRun]float32
	for _, op := range []struct {
		name string
		run  func()
	}{
		{"Mix", func() { Mix(dst, x, x, 0.3, 0.7) }},
		{"Adjust", func() { Adjust(dst, x, 0.5, 1.2, 0.8) }},
		{"Standardize", func() { Standardize(dst, x, &mean, &std) }},
		{"Power", func() { tables.Power(dst, x, 0.7) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			for b.Loop() {
				op.run()
			}
			b.ReportMetric(float64(len(x))*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelement/s")
		})
	}
}
