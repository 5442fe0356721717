package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestFixedPointRoundsTiesToEven(t *testing.T) {
	x := []float32{0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 0x1p23 + 1, -0x1p25, 0x1.fffffep30, -0x1p31}
	want := []int32{0, 2, 2, 0, -2, -2, 0, 1<<23 + 1, -1 << 25, 1<<31 - 128, -1 << 31}
	eachPath(t, func(t *testing.T) {
		q := make([]int32, len(x))
		EncodeFixed(q, x, 1)
		for i := range q {
			if q[i] != want[i] {
				t.Errorf("%g becomes %d, want %d", x[i], q[i], want[i])
			}
		}
	})
}

// Numbers of all magnitudes, denormal ones too, against the definition in float64: values that fill their block's bits and values far below.
func TestFixedPointAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	for _, n := range lengths {
		for _, e := range []int{-200, -149, -126, -100, -31, 0, 30, 90, 127} {
			x, q, old := make([]float32, n), make([]int32, n), make([]int32, n)
			for i := range x {
				x[i] = float32(math.Ldexp(r.Float64()*2-1, e-r.IntN(40)))
				old[i] = r.Int32()
			}
			scale := math.Ldexp(1, min(30-e, 200))
			eachPath(t, func(t *testing.T) {
				EncodeFixed(q, x, scale)
				for i, v := range x {
					if want := int32(math.RoundToEven(float64(v) * scale)); q[i] != want {
						t.Fatalf("%g·%g of %d is %d, want %d", v, scale, n, q[i], want)
					}
				}
				sum := append([]int32(nil), old...)
				AddFixed(sum, x, scale)
				for i := range sum {
					if sum[i] != old[i]+q[i] {
						t.Fatalf("%d and %d are %d", old[i], q[i], sum[i])
					}
				}
				y := make([]float32, n)
				for _, unit := range []float64{1 / scale, math.Ldexp(1, -150), math.Ldexp(1, 100)} {
					DecodeFixed(y, sum, unit)
					for i, v := range sum {
						if want := float32(float64(v) * unit); y[i] != want {
							t.Fatalf("%d·%g of %d is %g, want %g", v, unit, n, y[i], want)
						}
					}
					inPlace := slices.Clone(sum)
					z := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(inPlace))), n)
					if DecodeFixed(z, inPlace, unit); !slices.Equal(z, y) {
						t.Fatalf("%d decoded in place: %v, want %v", n, z, y)
					}
				}
			})
		}
	}
}

func TestMaxMagnitude(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range lengths {
			x := random(n, 1)
			if got, want := MaxMagnitude(x), math.Float32bits(max(0, Max(x), -minimum(x))); got != want {
				t.Fatalf("of %d: %#x, want %#x", n, got, want)
			}
			for i := range min(n, 70) {
				for _, odd := range []float32{float32(math.Inf(-1)), float32(math.NaN()), -3e38} {
					old := x[i]
					x[i] = odd
					if got := MaxMagnitude(x); got != math.Float32bits(odd)&^(1<<31) {
						t.Fatalf("of %v at %d of %d: %#x", odd, i, n, got)
					}
					x[i] = old
				}
			}
		}
		if got := MaxMagnitude([]float32{0, -1e-45}); got != 1 {
			t.Errorf("of the smallest number: %#x, want 1", got)
		}
	})
}

func minimum(x []float32) float32 {
	low := float32(0)
	for _, v := range x {
		low = min(low, v)
	}
	return low
}

func TestFixedPointTakesPowersOfTwoOnly(t *testing.T) {
	for _, scale := range []float64{0, 3, -2, math.Inf(1), math.NaN(), 0x1p201, 0x1p-201} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("scale %v: no panic", scale)
				}
			}()
			EncodeFixed(make([]int32, 1), make([]float32, 1), scale)
		}()
	}
}

func BenchmarkFixedPoint(b *testing.B) {
	for _, n := range []int{128, 1 << 14, 1 << 24} {
		x, y, q := random(n, 1), random(n, 2), make([]int32, n)
		blocks := func(f func(lo, hi int)) func() {
			return func() {
				for lo := 0; lo < n; lo += 128 {
					f(lo, lo+128)
				}
			}
		}
		for _, op := range []struct {
			name string
			run  func()
		}{
			{"AddFloat", func() { Add(y, x) }},
			{"MaxMagnitude", blocks(func(lo, hi int) { MaxMagnitude(x[lo:hi]) })},
			{"EncodeFixed", blocks(func(lo, hi int) { EncodeFixed(q[lo:hi], x[lo:hi], 1024) })},
			{"AddFixed", blocks(func(lo, hi int) { AddFixed(q[lo:hi], x[lo:hi], 1024) })},
			{"DecodeFixed", blocks(func(lo, hi int) { DecodeFixed(y[lo:hi], q[lo:hi], 1.0/1024) })},
		} {
			b.Run(op.name+"/"+sizeName(n), func(b *testing.B) {
				b.SetBytes(4 * int64(n))
				for b.Loop() {
					op.run()
				}
			})
		}
	}
}

func sizeName(n int) string {
	return map[int]string{128: "block", 1 << 14: "cache", 1 << 24: "memory"}[n]
}
