package simd

import (
	"math"
	"testing"
)

// updates are the kernels of optimizers, each with the state that it changes; the gradient is its last vector.
var updates = []struct {
	name string
	run  func(state [3][]float32, grad []float32)
}{
	{"Descend", func(s [3][]float32, g []float32) { (&Descent{LR: 0.1, Decay: 0.01}).Descend(s[0], g) }},
	{"DescendMomentum", func(s [3][]float32, g []float32) {
		(&Descent{LR: 0.1, Decay: 0.01, Momentum: 0.9, Rate: 0.7}).DescendMomentum(s[0], s[1], g)
	}},
	{"DescendNesterov", func(s [3][]float32, g []float32) {
		(&Descent{LR: 0.1, Decay: 0.01, Momentum: 0.9}).DescendNesterov(s[0], s[1], g)
	}},
	{"Adam", func(s [3][]float32, g []float32) {
		(&Adam{Keep: 0.99, Decay: 0.01, New1: 0.1, Beta2: 0.999, New2: 0.001, Size: 0.01, InvRoot: 30, Eps: 1e-8}).Update(s[0], s[1], s[2], g)
	}},
}

// state makes three vectors whose third has no negative element, as Adam's squares.
func state(n int) (s [3][]float32) {
	for i := range s {
		s[i] = random(n, uint64(i))
	}
	Mul(s[2], s[2])
	return s
}

// The updates and the sums of squares are the same to the bit in assembly and in portable code, at any place, and touch nothing else.
func TestUpdatesAreSharedByTheProfiles(t *testing.T) {
	for _, n := range lengths {
		grad := random(n+1, 7)
		copy(grad, []float32{0, float32(math.Copysign(0, -1)), 1e-45, -3e38})
		results := map[bool][]float32{}
		for _, path := range []bool{true, false} {
			detected := vectorised
			vectorised = detected && path
			var got []float32
			for _, u := range updates {
				s := state(n + 1)
				u.run([3][]float32{s[0][:n], s[1][:n], s[2][:n]}, grad)
				for i, v := range s {
					if v[n] != state(n + 1)[i][n] {
						t.Fatalf("%s of %d: the element behind became %v", u.name, n, v[n])
					}
					got = append(got, v...)
				}
			}
			results[path] = got
			vectorised = detected
		}
		wantSame(t, results[true], results[false])
	}
}

func TestSquares(t *testing.T) {
	for _, n := range lengths {
		x, p := random(n, 1), random(n, 2)
		want, decayed := 0.0, 0.0
		for i, v := range x {
			want += float64(v) * float64(v)
			d := float64(float32(v + float32(0.3*p[i])))
			decayed += d * d
		}
		var first [2]float64
		eachPath(t, func(t *testing.T) {
			got := [2]float64{Squares(x), SquaresDecayed(x, p, 0.3)}
			if math.Abs(got[0]-want) > 1e-12*want || math.Abs(got[1]-decayed) > 1e-12*decayed {
				t.Fatalf("of %d: %v and %v, want %v and %v", n, got[0], got[1], want, decayed)
			}
			if first == [2]float64{} {
				first = got
			}
			if got != first {
				t.Fatalf("of %d: %v, portable %v", n, got, first)
			}
		})
	}
	if got := Squares([]float32{math.MaxFloat32, math.MaxFloat32}); got != 2*math.MaxFloat32*math.MaxFloat32 {
		t.Errorf("the largest numbers: %v", got)
	}
}

func TestUpdatesNeedAllVectors(t *testing.T) {
	for _, u := range updates {
		for short := range 4 {
			s, grad := state(3), make([]float32, 3)
			used := short == 3 || short > 0 && (u.name == "Adam" || u.name != "Descend" && short == 1)
			if !used {
				continue
			}
			if short == 3 {
				grad = grad[:2:2]
			} else {
				s[short] = s[short][:2:2]
			}
			before := append([]float32(nil), s[0]...)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic with a short vector %d", u.name, short)
					}
				}()
				u.run(s, grad)
			}()
			wantSame(t, s[0], before)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	const n = 1 << 14
	s, grad := state(n), random(n, 7)
	for _, u := range updates {
		b.Run(u.name, func(b *testing.B) {
			for b.Loop() {
				u.run(s, grad)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelement/s")
		})
	}
	for _, sum := range []struct {
		name string
		run  func()
	}{{"Squares", func() { Squares(grad) }}, {"SquaresDecayed", func() { SquaresDecayed(grad, s[0], 0.1) }}} {
		b.Run(sum.name, func(b *testing.B) {
			for b.Loop() {
				sum.run()
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelement/s")
		})
	}
}
