package nn

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

// array is one tensor of a fixture: float64, row-major.
type array struct {
	Shape []int
	Data  []float64
}

// fixture is one operation's inputs, outputs and gradients, computed by PyTorch in float64.
type fixture struct{ Inputs, Outputs, Grads map[string]array }

func load(t *testing.T, name string) fixture {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

// nhwc is the array in the layout of this package: NCHW maps become NHWC, others stay.
func (a array) nhwc() []float64 {
	if len(a.Shape) != 4 {
		return a.Data
	}
	n, c, px := a.Shape[0], a.Shape[1], a.Shape[2]*a.Shape[3]
	out := make([]float64, len(a.Data))
	for s := range n {
		for k := range c {
			for i := range px {
				out[(s*px+i)*c+k] = a.Data[(s*c+k)*px+i]
			}
		}
	}
	return out
}

func (a array) float32s() []float32 { return narrow(a.nhwc()) }

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// within checks max|got − want| / max|want| ≤ tolerance.
func within(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	var worst, scale float64
	for i, w := range want {
		d := math.Abs(float64(got[i]) - w)
		if d != d {
			t.Fatalf("%s[%d] = %v, want %v", what, i, got[i], w)
		}
		worst, scale = max(worst, d), max(scale, math.Abs(w))
	}
	if worst > tolerance*scale {
		t.Errorf("%s: off by %.3g of the largest value, want ≤ %.3g", what, worst/scale, tolerance)
	}
}

// drawn is a tensor of standard normal draws.
func drawn(purpose string, shape ...int) *tensor.Dense {
	key := keyed.New(1).For(purpose)
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(key.Normal(uint64(i)))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// bench holds one layer with arenas and a pass of its own.
type bench struct {
	arena, running *Arena
	pass           pass
}

func (b *builder) bench(n, groups int, train bool) *bench {
	r := &bench{arena: b.params.arena(keyed.New(1)), running: b.running.arena(keyed.New(1))}
	r.pass = pass{
		params: r.arena.Data, running: r.running.Data, grad: make([]float32, len(r.arena.Data)),
		n: n, groups: groups, train: train,
	}
	return r
}

// same checks that two slices hold the same bits.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s[%d] = %v, want %v to the bit", what, i, got[i], want[i])
		}
	}
}

// check runs one layer without parameters on the fixture; upstream and want are in the layer's own layout.
func (f fixture) check(t *testing.T, l layer, upstream, want []float64) {
	t.Helper()
	p := &pass{n: f.Inputs["x"].Shape[0], groups: 1, train: true}
	within(t, "y", l.forward(p, f.Inputs["x"].float32s()), want, tolerance)
	within(t, "dx", l.backward(p, narrow(upstream), true), f.Grads["x"].nhwc(), tolerance)
}
