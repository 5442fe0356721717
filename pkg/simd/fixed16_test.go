package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every path gives the bits of the definition, for any length and place in the run of numbers.
func TestFixed16AgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	for _, n := range lengths {
		x, old := make([]float32, n), make([]int16, n)
		for i := range x {
			x[i] = float32(math.Ldexp(r.Float64()*2-1, -r.IntN(20)))
			old[i] = int16(r.IntN(1 << 16))
		}
		d := Draws{A: r.Uint32(), B: r.Uint32(), First: math.MaxUint32 - 20}
		const scale = (1<<12 - 1) << 16
		eachPath(t, func(t *testing.T) {
			q, sum, y := make([]int16, n), slices.Clone(old), make([]float32, n)
			EncodeFixed16(q, x, scale, d)
			AddFixed16(sum, x, scale, d)
			DecodeFixed16(y, sum, 0.3)
			for i, v := range x {
				exact := float64(float32(v*scale)) / (1 << 16)
				if float64(q[i]) < math.Floor(exact) || float64(q[i]) > math.Ceil(exact) {
					t.Fatalf("%g becomes %d", exact, q[i])
				}
				draw := d.draw(d.First + uint32(i))
				if want := rounded16(v, scale, draw); q[i] != want || sum[i] != old[i]+want || y[i] != float32(float32(sum[i])*0.3) {
					t.Fatalf("element %d of %d: %d, %d, %g; want %d", i, n, q[i], sum[i], y[i], want)
				}
			}
		})
	}
}

// Rounding leaves means as they are: of one value over many elements, and over many keys.
func TestFixed16RoundsWithoutBias(t *testing.T) {
	const n = 1 << 16
	r := rand.New(rand.NewPCG(9, 2))
	for _, v := range []float32{0.1, -0.1, 0.5, 3.9, -7.25} {
		x, q := slices.Repeat([]float32{v}, n), make([]int16, n)
		mean := func() float64 {
			sum := 0.0
			for _, k := range q {
				sum += float64(k)
			}
			return sum / n
		}
		EncodeFixed16(q, x, 1<<16, Draws{A: r.Uint32(), B: r.Uint32()})
		over := mean()
		for i := range q {
			EncodeFixed16(q[i:i+1], x[:1], 1<<16, Draws{A: r.Uint32(), B: r.Uint32(), First: 5})
		}
		if bound := 5 * 0.5 / math.Sqrt(n); math.Abs(over-float64(v)) > bound || math.Abs(mean()-float64(v)) > bound {
			t.Errorf("the mean of %g is %g over elements, %g over keys", v, over, mean())
		}
	}
}
