package transform

import (
	"math"
	"testing"
)

// The fixture was made with affine_grid and grid_sample of PyTorch in float64; its second map mirrors, and both reach outside.
func TestSampleEqualsAffineGrid(t *testing.T) {
	in, out := readFixture(t, "testdata/affine_grid_sample.json")
	x, theta, want := in["x"], in["theta"], out["y"]
	n, h, w := x.Shape[0], x.Shape[2], x.Shape[3]
	for b := range n {
		src, dst := empty(h, w, 1), empty(h, w, 1)
		for i := range src.Pix {
			src.Pix[i] = float32(x.Data[b*h*w+i])
		}
		m := theta.Data[b*6:]
		sample(dst, src, axis{in: h, out: h, scale: m[4], shift: m[5]}, axis{in: w, out: w, scale: m[0], shift: m[2]})
		for i, v := range dst.Pix {
			if !near(float64(v), want.Data[b*h*w+i], 1e-6) {
				t.Errorf("image %d, pixel %d: %v, want %v", b, i, v, want.Data[b*h*w+i])
			}
		}
	}
}

// The definition, pixel by pixel in float64.
func referenceSample(src Image, ys, xs axis, c, y, x int) float64 {
	pixel := func(y, x int) float64 {
		if ys.edge {
			y, x = min(max(y, 0), src.H-1), min(max(x, 0), src.W-1)
		}
		if y < 0 || x < 0 || y >= src.H || x >= src.W {
			return 0
		}
		return float64(src.Pix[(y*src.W+x)*src.C+c])
	}
	place := func(a axis, i int) float64 {
		return ((a.scale*((2*float64(i)+1)/float64(a.out)-1)+a.shift+1)*float64(a.in) - 1) / 2
	}
	py, px := place(ys, y), place(xs, x)
	y0, x0 := math.Floor(py), math.Floor(px)
	fy, fx := py-y0, px-x0
	i, j := int(y0), int(x0)
	return (1-fy)*((1-fx)*pixel(i, j)+fx*pixel(i, j+1)) + fy*((1-fx)*pixel(i+1, j)+fx*pixel(i+1, j+1))
}

func TestSampleEqualsTheDefinition(t *testing.T) {
	for _, c := range []int{1, 3} {
		src := gradient(9, 70, c)
		for _, edge := range []bool{false, true} {
			for _, k := range []struct{ h, w int }{{9, 70}, {5, 131}, {1, 1}, {20, 64}} {
				dst := empty(k.h, k.w, c)
				ys := axis{in: src.H, out: k.h, scale: -0.8, shift: 0.35, edge: edge}
				xs := axis{in: src.W, out: k.w, scale: 1.3, shift: 40, edge: edge}
				if k.w != 64 {
					xs.shift = -0.1
				}
				sample(dst, src, ys, xs)
				for i, v := range dst.Pix {
					if want := referenceSample(src, ys, xs, i%c, i/c/k.w, i/c%k.w); !near(float64(v), want, 1e-5) {
						t.Fatalf("size %v, edge %v, value %d: %v, want %v", k, edge, i, v, want)
					}
				}
			}
		}
	}
}

func TestResize(t *testing.T) {
	src := Image{2, 2, 1, []float32{0, 1, 0, 1}}
	out := make([]float32, 8)
	if err := mustNew(t, 2, 4, 1, Resize{2, 4}).Apply(out, src, draw(0)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{0, 0.25, 0.75, 1, 0, 0.25, 0.75, 1} { // by hand: centres at −0.25, 0.25, 0.75, 1.25
		if out[i] != want {
			t.Errorf("value %d is %v, want %v", i, out[i], want)
		}
	}
	img := gradient(5, 7, 3)
	for i, v := range apply(t, img, draw(0), Resize{5, 7}) {
		if v != img.Pix[i] {
			t.Fatal("resizing to its own size changes the image")
		}
	}
}

func TestFullCropIsTheImage(t *testing.T) {
	img := gradient(6, 8, 3)
	for i, v := range apply(t, img, draw(3), RandomResizedCrop{Area: [2]float64{1, 1}, Ratio: [2]float64{1, 1}}) {
		if !near(float64(v), float64(img.Pix[i]), 1e-6) {
			t.Errorf("value %d is %v, want %v", i, v, img.Pix[i])
		}
	}
}

// The box's parameters have the distribution that the recipe names.
func TestCropMoments(t *testing.T) {
	r := RandomResizedCrop{Area: [2]float64{0.3, 1}}
	const n = 40000
	var area, logRatio, logRatio2, dx, dy, dx2, uncut float64
	for i := range n {
		ys, xs := r.box(draw(i).For(r.Name()))
		if math.Abs(xs.shift)+xs.scale > 1+1e-12 || math.Abs(ys.shift)+ys.scale > 1+1e-12 {
			t.Fatalf("box reaches outside: %+v %+v", xs, ys)
		}
		if xs.scale < 1 && ys.scale < 1 { // no side was cut
			uncut++
			area += xs.scale * ys.scale
			logRatio += math.Log(xs.scale / ys.scale)
			logRatio2 += math.Log(xs.scale/ys.scale) * math.Log(xs.scale/ys.scale)
		}
		if xs.scale < 1 {
			u := xs.shift / (1 - xs.scale)
			dx += u
			dx2 += u * u
		}
		if ys.scale < 1 {
			dy += ys.shift / (1 - ys.scale)
		}
	}
	if m := dx / n; math.Abs(m) > 0.02 {
		t.Errorf("horizontal place has mean %v, want 0", m)
	}
	if m := dx2 / n; !near(m, 1./3, 0.04) { // the 8 % of boxes of full width count as 0
		t.Errorf("horizontal place has mean square %v, want near 1/3", m)
	}
	if m := dy / n; math.Abs(m) > 0.02 {
		t.Errorf("vertical place has mean %v, want 0", m)
	}
	if m := logRatio / uncut; math.Abs(m) > 0.01 {
		t.Errorf("log ratio has mean %v, want 0", m)
	}
	if sd, want := math.Sqrt(logRatio2/uncut), math.Log(4./3)/math.Sqrt(3); sd > want*1.02 || sd < want*0.85 { // cutting removes extreme ratios
		t.Errorf("log ratio has standard deviation %v, want near %v", sd, want)
	}
	// Before any side is cut, the area is uniform in its range: compare draws themselves.
	var a1, a2 float64
	for i := range n {
		u := draw(i).For(r.Name()).Uniform(0, 0.3, 1)
		a1 += u / n
		a2 += (u - 0.65) * (u - 0.65) / n
	}
	if !near(a1, 0.65, 0.005) || !near(a2, 0.49/12, 0.001) {
		t.Errorf("area has mean %v and variance %v, want 0.65 and %v", a1, a2, 0.49/12)
	}
	if share := uncut / n; share < 0.7 || share > 0.95 {
		t.Errorf("%v of the boxes keep both sides inside", share)
	}
}
