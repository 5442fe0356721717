package transform

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

func TestFlip(t *testing.T) {
	img := Image{2, 3, 2, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
	if got, want := apply(t, img, draw(0), Flip{1}), []float32{5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("Flip{1} gives %v, want %v", got, want)
	}
	if got := apply(t, img, draw(0), Flip{0}); !slices.Equal(got, img.Pix) {
		t.Errorf("Flip{0} gives %v", got)
	}
	flipped := 0
	for i := range 10000 {
		if apply(t, img, draw(i), Flip{0.3})[0] == 5 {
			flipped++
		}
	}
	if flipped < 2850 || flipped > 3150 {
		t.Errorf("Flip{0.3} flips %d of 10000", flipped)
	}
}

func TestPowerIsAccurate(t *testing.T) {
	power := func(x float32, y float64) float32 {
		v := [1]float32{x}
		powers.Power(v[:], v[:], y)
		return v[0]
	}
	worst := 0.0
	for i := range 200000 {
		x := float32(math.Exp(-9.2 * keyed.New(1).Float64(uint64(i))))
		y := math.Exp(3 * (2*keyed.New(2).Float64(uint64(i)) - 1))
		want := math.Pow(float64(x), y)
		if want < 1e-37 {
			continue
		}
		worst = math.Max(worst, math.Abs(float64(power(x, y))-want)/want)
	}
	if worst > 1e-7 {
		t.Errorf("relative error is %v, want at most 1e-7", worst)
	}
	if power(1, 2.5) != 1 || power(1e-4, 20) != 0 {
		t.Errorf("1^2.5 = %v, 1e-4^20 = %v", power(1, 2.5), power(1e-4, 20))
	}
}

// Bits that must be the same on every machine; a change of the arithmetic breaks running jobs.
func TestBitsArePinned(t *testing.T) {
	var h uint32 = 2166136261
	add := func(x []float32) {
		for _, v := range x {
			h = (h ^ math.Float32bits(v)) * 16777619
		}
	}
	for c := 1; c <= 3; c += 2 {
		img := gradient(28, 28, c)
		for i := range 20 {
			add(apply(t, img, draw(i), RandomResizedCrop{Area: [2]float64{0.3, 1}}, Flip{0.5}, Jitter{0.8, 0.8, 1, 1},
				Erase{Probability: 0.5, Area: [2]float64{0.02, 0.3}}, Normalize{[]float32{0.286}, []float32{0.353}}, Noise{0.1}))
		}
	}
	if want := uint32(0xdb007146); h != want {
		t.Errorf("bits hash to %#x, want %#x", h, want)
	}
}

func TestJitterEqualsTheRecipe(t *testing.T) {
	for _, j := range []Jitter{{0.8, 0.8, 1, 1}, {0.4, 0.2, 0.5, 0.6}, {0, 0.5, 0, 1}, {0.5, 0, 0, 1}, {0, 0, 1, 1}, {0.3, 0.3, 1, 0}} {
		for _, c := range []int{1, 3} {
			img := gradient(8, 8, c)
			for i := range 50 {
				key := draw(i)
				k := key.For("jitter")
				on := 0.0
				if k.Float64(0) < j.Probability {
					on = 1
				}
				want := j.reference(img, on, 2*k.Float64(1)-1, 2*k.Float64(2)-1, 2*k.Float64(3)-1)
				for p, v := range apply(t, img, key, j) {
					if !near(float64(v), want[p], 2e-6) {
						t.Fatalf("%+v, draw %d, value %d: %v, want %v", j, i, p, v, want[p])
					}
				}
			}
		}
	}
}

func TestEraseBox(t *testing.T) {
	img := Image{20, 30, 3, slices.Repeat([]float32{1}, 20*30*3)}
	e := Erase{Probability: 0.5, Area: [2]float64{0.1, 0.3}, Ratio: [2]float64{0.5, 2}}
	erased, area := 0, 0.0
	const n = 4000
	for i := range n {
		out := Image{20, 30, 3, apply(t, img, draw(i), e)}
		x0, x1, y0, y1, zeros := 30, -1, 20, -1, 0
		for y := range 20 {
			for x := range 30 {
				if p := out.Pix[(y*30+x)*3:][:3]; p[0] == 0 && p[1] == 0 && p[2] == 0 {
					x0, x1, y0, y1, zeros = min(x0, x), max(x1, x), min(y0, y), max(y1, y), zeros+1
				} else if p[0] != 1 || p[1] != 1 || p[2] != 1 {
					t.Fatalf("pixel is %v", p)
				}
			}
		}
		if zeros == 0 {
			continue
		}
		erased++
		area += float64(zeros) / 600
		if zeros != (x1-x0+1)*(y1-y0+1) {
			t.Fatalf("what is erased is no box: %d pixels in columns %d–%d, rows %d–%d", zeros, x0, x1, y0, y1)
		}
	}
	if !near(float64(erased)/n, 0.5, 0.03) {
		t.Errorf("%d of %d images have a box", erased, n)
	}
	if m := area / float64(erased); !near(m, 0.2, 0.006) {
		t.Errorf("boxes cover %v on average, want 0.2", m)
	}
}

func TestNormalIsTheInverseDistribution(t *testing.T) {
	worst := 0.0
	for i := 1; i < 100000; i++ {
		u := float64(i) / 100000
		worst = math.Max(worst, math.Abs(float64(normal(u))-math.Sqrt2*math.Erfinv(2*u-1)))
	}
	for e := 5; e < 53; e++ { // the far tail
		want := -math.Sqrt2 * math.Erfcinv(2*math.Ldexp(1, -e))
		worst = math.Max(worst, math.Abs(float64(normal(math.Ldexp(1, -e)))-want))
	}
	if worst > 1e-6 {
		t.Errorf("error is %v, want at most 1e-6", worst)
	}
}

func TestNoiseMoments(t *testing.T) {
	img := Image{100, 100, 1, slices.Repeat([]float32{0.5}, 10000)}
	var sum, squares float64
	for _, v := range apply(t, img, draw(1), Noise{0.2}) {
		sum += float64(v) - 0.5
		squares += (float64(v) - 0.5) * (float64(v) - 0.5)
	}
	if m, sd := sum/1e4, math.Sqrt(squares/1e4); math.Abs(m) > 0.008 || !near(sd, 0.2, 0.006) {
		t.Errorf("noise has mean %v and standard deviation %v, want 0 and 0.2", m, sd)
	}
}

func TestNormalize(t *testing.T) {
	img := Image{1, 2, 3, []float32{0, 0.5, 1, 1, 0.5, 0}}
	if got, want := apply(t, img, draw(0), Normalize{[]float32{0, 0.5, 1}, []float32{1, 2, 4}}), []float32{0, 0, 0, 1, 0, -0.25}; !slices.Equal(got, want) {
		t.Errorf("Normalize gives %v, want %v", got, want)
	}
	if got, want := apply(t, img, draw(0), Normalize{[]float32{0.5}, []float32{0.5}}), []float32{-1, 0, 1, 1, 0, -1}; !slices.Equal(got, want) {
		t.Errorf("Normalize gives %v, want %v", got, want)
	}
}

func TestNewRefusesAllBadParameters(t *testing.T) {
	_, err := New(0, 28, 3,
		RandomResizedCrop{Height: -1, Area: [2]float64{0, 1}, Ratio: [2]float64{2, 1}},
		Flip{1.5}, Jitter{Brightness: 2, Contrast: math.NaN(), Gamma: 4, Probability: -1},
		Erase{Probability: 2, Area: [2]float64{0.5, 1.5}}, Noise{-1}, Normalize{[]float32{1, 2}, []float32{0, 1}}, Normalize{}, Resize{1 << 20, 1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"shape (0, 28, 3)", "transform randomResizedCrop: size is -1×0", "area is [0 1]", "ratio is [2 1]", "transform flip: probability is 1.5",
		"brightness is 2", "contrast is NaN", "gamma is 4", "probability is -1", "area is [0.5 1.5]", "std is -1", "2 means for images of 3 channels", "std is [0 1]", "mean has 0 values", "transform resize: size is 1048576×1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}
