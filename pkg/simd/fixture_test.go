package simd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A fixture holds the operands, the result and the gradients of one convolution, computed by PyTorch in float64: images are NCHW and
// weights OIHW there, and the bias is not ours.
type fixture struct {
	Params struct{ Stride, Pad, Groups int }
	Inputs struct {
		X, W, B, Upstream fixtureTensor
	}
	Outputs struct{ Y fixtureTensor }
	Grads   struct{ X, W fixtureTensor }
}

type fixtureTensor struct {
	Shape []int
	Data  []float64
}

// reordered returns the tensor with axis order[i] of the fixture as axis i.
func (t fixtureTensor) reordered(order [4]int) []float64 {
	var strides [4]int
	stride := 1
	for i := 3; i >= 0; i-- {
		strides[i] = stride
		stride *= t.Shape[i]
	}
	out := make([]float64, 0, len(t.Data))
	s, d := t.Shape, strides
	for a := range s[order[0]] {
		for b := range s[order[1]] {
			for c := range s[order[2]] {
				for e := range s[order[3]] {
					out = append(out, t.Data[a*d[order[0]]+b*d[order[1]]+c*d[order[2]]+e*d[order[3]]])
				}
			}
		}
	}
	return out
}

var (
	imageOrder  = [4]int{0, 2, 3, 1}
	weightOrder = [4]int{2, 3, 1, 0}
)

func rounded(s []float64) []float32 {
	out := make([]float32, len(s))
	for i, v := range s {
		out[i] = float32(v)
	}
	return out
}

func TestConvAgainstPyTorch(t *testing.T) {
	paths, err := filepath.Glob("testdata/conv*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures in testdata: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) { eachPath(t, f.check) })
	}
}

// A convolution in groups is one of its own for each group of channels.
func (f fixture) check(t *testing.T) {
	groups := max(f.Params.Groups, 1)
	x, w := f.Inputs.X.Shape, f.Inputs.W.Shape
	c := Conv{N: x[0], H: x[2], W: x[3], Cin: x[1] / groups, Cout: w[0] / groups, K: w[2], Stride: f.Params.Stride, Pad: f.Params.Pad}
	for g := range groups {
		inside, outside := [2]int{g * c.Cin, (g + 1) * c.Cin}, [2]int{g * c.Cout, (g + 1) * c.Cout}
		wantY := f.Outputs.Y.part(1, outside).reordered(imageOrder)
		for i := range wantY {
			wantY[i] -= f.Inputs.B.Data[outside[0]+i%c.Cout]
		}
		images, dy := rounded(f.Inputs.X.part(1, inside).reordered(imageOrder)), rounded(f.Inputs.Upstream.part(1, outside).reordered(imageOrder))
		weights := rounded(f.Inputs.W.part(0, outside).reordered(weightOrder))
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(images)), make([]float32, len(weights))
		c.Forward(y, images, weights)
		c.BackwardData(dx, dy, weights)
		c.BackwardWeights(dw, dy, images)
		wantClose(t, "y", y, wantY, 1e-6)
		wantClose(t, "dx", dx, f.Grads.X.part(1, inside).reordered(imageOrder), 1e-6)
		wantClose(t, "dw", dw, f.Grads.W.part(0, outside).reordered(weightOrder), 1e-6)
	}
}

// part returns a run of indices of axis 0 or 1.
func (t fixtureTensor) part(axis int, run [2]int) fixtureTensor {
	outer, inner := 1, len(t.Data)
	for _, n := range t.Shape[:axis] {
		outer, inner = outer*n, inner/n
	}
	inner /= t.Shape[axis]
	shape := slices.Clone(t.Shape)
	shape[axis] = run[1] - run[0]
	var data []float64
	for o := range outer {
		data = append(data, t.Data[(o*t.Shape[axis]+run[0])*inner:(o*t.Shape[axis]+run[1])*inner]...)
	}
	return fixtureTensor{shape, data}
}
