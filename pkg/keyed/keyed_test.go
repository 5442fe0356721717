package keyed

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

func TestPhiloxKnownAnswers(t *testing.T) {
	// Known answers of Philox-4x32-10 from the Random123 distribution (kat_vectors): words printed low to high.
	for _, c := range []struct {
		key, a, b uint64
		want      string
	}{
		{0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, "408f276d 41c83b0e a20bc7c6 6d5451fd"},
		{0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, "d16cfe09 94fdcceb 5001e420 24126ea1"},
	} {
		hi, lo := philox(c.key, c.a, c.b)
		got := fmt.Sprintf("%08x %08x %08x %08x", uint32(hi), uint32(hi>>32), uint32(lo), uint32(lo>>32))
		if got != c.want {
			t.Errorf("philox(%#x, %#x, %#x) = %s, want %s", c.key, c.a, c.b, got, c.want)
		}
	}
}

func TestDrawsDependOnTheirNameAlone(t *testing.T) {
	root := New(7)
	want, others := root.For("flip").At(3, 1).Uint64(0), 0.0
	for i := range uint64(100) {
		others += root.For("crop").At(i).Float64(i)
	}
	if others == 0 {
		t.Error("100 draws are all 0")
	}
	if got := New(7).For("flip").At(3, 1).Uint64(0); got != want {
		t.Fatalf("a draw moved: %x, want %x", got, want)
	}
	seen := map[Key]string{}
	for _, c := range []struct {
		name string
		key  Key
	}{
		{"seed 8", New(8)}, {"root", root}, {"flip", root.For("flip")}, {"crop", root.For("crop")}, {"(1,2)", root.At(1, 2)},
		{"(2,1)", root.At(2, 1)}, {"(1)(2)", root.At(1).At(2)}, {"(1)", root.At(1)}, {"(1,0)", root.At(1, 0)},
	} {
		if other, ok := seen[c.key]; ok {
			t.Errorf("%s and %s share a key", c.name, other)
		}
		seen[c.key] = c.name
	}
}

func TestPermuteIsABijectionThatMoves(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 5, 16, 17, 1000, 4097} {
		seen := make([]bool, n)
		fixed := 0
		for i := range n {
			j := New(1).For("order").Permute(i, n)
			if j >= n || seen[j] {
				t.Fatalf("n=%d: %d maps to %d, out of range or taken", n, i, j)
			}
			seen[j] = true
			if i == j {
				fixed++
			}
		}
		if n >= 1000 && fixed > 8 { // a random permutation has one fixed point on average
			t.Errorf("n=%d: %d fixed points", n, fixed)
		}
	}
}

// Draws are part of every result: these bits must not change with the compiler's target (GOAMD64=v3 and arm64 may fuse multiply and add).
func TestDrawsAreTheSameBitsEverywhere(t *testing.T) {
	h := fnv.New64a()
	for i := range uint64(10000) {
		k := New(i).For("pinned").At(i, 7)
		fmt.Fprintf(h, "%x %x %x %x %d\n", k.Uint64(i), k.Float64(1), k.Normal(2), k.Uniform(3, -2, 5), k.IntN(4, 1000))
	}
	if got := h.Sum64(); got != 0x5babefb0484fa16a {
		t.Errorf("the draws hash to %#x, want %#x", got, uint64(0x5babefb0484fa16a))
	}
}

func TestMomentsOfDraws(t *testing.T) {
	const n = 200000
	var u, u2, g, g2, g4 float64
	k := New(3).For("moments")
	for i := range uint64(n) {
		x, y := k.Float64(i), k.For("normal").Normal(i)
		u += x
		u2 += x * x
		g += y
		g2 += y * y
		g4 += y * y * y * y
	}
	for _, c := range []struct {
		name                 string
		got, want, tolerance float64
	}{
		{"uniform mean", u / n, 0.5, 0.003}, {"uniform second moment", u2 / n, 1.0 / 3, 0.003},
		{"normal mean", g / n, 0, 0.01}, {"normal variance", g2 / n, 1, 0.015}, {"normal fourth moment", g4 / n, 3, 0.1},
	} {
		if math.Abs(c.got-c.want) > c.tolerance {
			t.Errorf("%s is %v, want %v ± %v", c.name, c.got, c.want, c.tolerance)
		}
	}
}

func TestFunctionsAgainstTheStandardLibrary(t *testing.T) {
	for x := -30.0; x < 30; x += 0.01371 {
		relative(t, "Exp", x, Exp(x), math.Exp(x))
		relative(t, "Log", math.Exp(x), Log(math.Exp(x)), math.Log(math.Exp(x)))
		relative(t, "Pow", math.Abs(x), Pow(math.Abs(x), 1.7), math.Pow(math.Abs(x), 1.7))
		if math.Abs(Sin(x)-math.Sin(x)) > 1e-14 || math.Abs(Cos(x)-math.Cos(x)) > 1e-14 {
			t.Errorf("sin, cos of %v: %v, %v", x, Sin(x), Cos(x))
		}
	}
	if Exp(-800) != 0 || !math.IsInf(Exp(800), 1) || !math.IsInf(Log(0), -1) || !math.IsNaN(Log(-1)) || Exp(0) != 1 || Log(1) != 0 {
		t.Error("special values")
	}
}

func relative(t *testing.T, name string, x, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-14*math.Abs(want)+1e-16 {
		t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
	}
}
