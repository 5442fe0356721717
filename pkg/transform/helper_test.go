package transform

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// gradient is a test image without symmetry.
func gradient(h, w, c int) Image {
	m := Image{h, w, c, make([]float32, h*w*c)}
	for i := range m.Pix {
		m.Pix[i] = float32((i*37+i*i*11)%256) / 255
	}
	return m
}

func empty(h, w, c int) Image { return Image{h, w, c, make([]float32, h*w*c)} }

// draw is the key of test draw i.
func draw(i int) keyed.Key { return keyed.New(7).For("test").At(uint64(i)) }

func mustNew(t testing.TB, h, w, c int, ops ...Op) *Pipeline {
	t.Helper()
	p, err := New(h, w, c, ops...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apply runs a pipeline with the image's own shape.
func apply(t testing.TB, img Image, key keyed.Key, ops ...Op) []float32 {
	t.Helper()
	out := make([]float32, len(img.Pix))
	if err := mustNew(t, img.H, img.W, img.C, ops...).Apply(out, img, key); err != nil {
		t.Fatal(err)
	}
	return out
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

type array struct {
	Shape []int
	Data  []float64
}

func readFixture(t *testing.T, path string) (inputs, outputs map[string]array) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Inputs, Outputs map[string]array }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Inputs, f.Outputs
}

// reference is the jitter of the recipe in float64 with the standard library.
func (j Jitter) reference(src Image, on, gamma, contrast, brightness float64) []float64 {
	x := make([]float64, len(src.Pix))
	m := 0.0
	for i, v := range src.Pix {
		x[i] = float64(v)
		if j.Gamma > 0 {
			x[i] = math.Pow(math.Min(math.Max(x[i], 1e-4), 1), math.Exp(on*j.Gamma*gamma))
		}
		m += x[i] / float64(len(x))
	}
	for i := range x {
		x[i] = (x[i]-m)*(1+on*j.Contrast*contrast) + m
		x[i] = math.Min(math.Max(x[i]*(1+on*j.Brightness*brightness), 0), 1)
	}
	return x
}
