package simd

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPoolAgainstPyTorch(t *testing.T) {
	paths, err := filepath.Glob("testdata/*pool*.json")
	if err != nil || len(paths) != 4 {
		t.Fatalf("fixtures are %v: %v", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Params  struct{ K, Stride, Pad int }
			Inputs  struct{ X, Upstream fixtureTensor }
			Outputs struct{ Y fixtureTensor }
			Grads   struct{ X fixtureTensor }
		}
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			eachPath(t, func(t *testing.T) {
				s := f.Inputs.X.Shape
				p := Pool{N: s[0], H: s[2], W: s[3], C: s[1], K: f.Params.K, Stride: f.Params.Stride, Pad: f.Params.Pad}
				x, dy := rounded(f.Inputs.X.reordered(imageOrder)), rounded(f.Inputs.Upstream.reordered(imageOrder))
				y, dx := random(len(dy), 1), random(len(x), 2) // overwritten, not added to
				if strings.HasPrefix(filepath.Base(path), "max") {
					taps := make([]uint8, len(y))
					p.Max(y, taps, x)
					p.MaxBackward(dx, dy, taps)
				} else {
					p.Average(y, x)
					p.AverageBackward(dx, dy)
				}
				wantClose(t, "y", y, f.Outputs.Y.reordered(imageOrder), 1e-6)
				wantClose(t, "dx", dx, f.Grads.X.reordered(imageOrder), 1e-6)
			})
		})
	}
}

func TestMaxPoolTiesAndNaN(t *testing.T) {
	p := Pool{N: 1, H: 2, W: 4, C: 1, K: 2, Stride: 2}
	nan := float32(math.NaN())
	y, taps, dx := make([]float32, 2), make([]uint8, 2), make([]float32, 8)
	p.Max(y, taps, []float32{-3, -1, 5, 7, -1, -2, nan, 9})
	if y[0] != -1 || y[1] == y[1] {
		t.Errorf("maxima %v, want -1 and NaN", y)
	}
	p.MaxBackward(dx, []float32{2, 3}, taps)
	wantSame(t, dx, []float32{0, 2, 0, 0, 0, 0, 3, 0})
}

func TestPoolIsTheSameForAnyNumberOfThreads(t *testing.T) {
	t.Cleanup(func() { SetThreads(0) })
	p := Pool{N: 5, H: 9, W: 8, C: 3, K: 3, Stride: 2, Pad: 1}
	x := random(p.N*p.H*p.W*p.C, 1)
	pooled := func(threads int) []float32 {
		SetThreads(threads)
		y, dx := make([]float32, p.N*p.OutH()*p.OutW()*p.C), make([]float32, len(x))
		taps := make([]uint8, len(y))
		p.Max(y, taps, x)
		p.MaxBackward(dx, y, taps)
		return append(y, dx...)
	}
	wantSame(t, pooled(4), pooled(1))
}

// Maxima have no rounding, so every path gives the same bits, ties and NaN included.
func TestMaxPoolIsTheSameOnEveryPath(t *testing.T) {
	for _, c := range []int{1, 7, 8, 9, 16, 67} {
		p := Pool{N: 2, H: 9, W: 8, C: c, K: 3, Stride: 2, Pad: 1}
		x := random(p.N*p.H*p.W*p.C, 1)
		for i := range x {
			if i%5 == 0 {
				x[i] = x[(i*7)%len(x)] // ties
			}
			if i%31 == 0 {
				x[i] = float32(math.NaN())
			}
		}
		dy := random(p.N*p.OutH()*p.OutW()*p.C, 2)
		var first []float32
		eachPath(t, func(t *testing.T) {
			y, dx, taps := make([]float32, len(dy)), make([]float32, len(x)), make([]uint8, len(dy))
			p.Max(y, taps, x)
			p.MaxBackward(dx, dy, taps)
			out := append(y, dx...)
			for _, tap := range taps {
				out = append(out, float32(tap))
			}
			if first == nil {
				first = out
			}
			wantSame(t, out, first)
		})
	}
}

func BenchmarkPool(b *testing.B) {
	p := Pool{N: 16, H: 112, W: 112, C: 64, K: 3, Stride: 2, Pad: 1}
	x, y := random(p.N*p.H*p.W*p.C, 1), make([]float32, p.N*p.OutH()*p.OutW()*p.C)
	taps := make([]uint8, len(y))
	for name, f := range map[string]func(){
		"max": func() { p.Max(y, taps, x) }, "maxBackward": func() { p.MaxBackward(x, y, taps) },
		"average": func() { p.Average(y, x) }, "averageBackward": func() { p.AverageBackward(x, y) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
