package nn

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

// summary is a tensor of the whole-model fixture: its sum, its sum of magnitudes, and every step-th element.
type summary struct {
	Sum, Abs float64
	Step     int
	Data     []float64
}

func (s summary) check(t *testing.T, what string, got []float32, tolerance float64) {
	t.Helper()
	var sum, magnitude float64
	var some []float32
	for i, v := range got {
		sum += float64(v)
		magnitude += math.Abs(float64(v))
		if i%s.Step == 0 {
			some = append(some, v)
		}
	}
	within(t, what, some, s.Data, tolerance)
	if math.Abs(magnitude-s.Abs) > tolerance*s.Abs || math.Abs(sum-s.Sum) > tolerance*s.Abs {
		t.Errorf("%s: sum %v, of magnitudes %v; want %v, %v", what, sum, magnitude, s.Sum, s.Abs)
	}
}

// rule is the fixture's draw: element i of tensor k, in [-1, 1) (testdata/resnet_tiny.py has the same).
func rule(k, i int) float32 {
	h := uint32(i + 1000003*(k+1))
	h ^= h >> 16
	h *= 0x7FEB352D
	h ^= h >> 15
	h *= 0x846CA68B
	h ^= h >> 16
	return float32(float64(h)/(1<<31) - 1)
}

// TestResNetTinyAgainstPyTorch runs the whole model, two batch-norm groups, odd maps, three channels, against PyTorch in float64.
func TestResNetTinyAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/resnet_tiny.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Shape                            []int
		Groups                           int
		Features, Z, EvalFeatures, EvalZ summary
		Grads, Stats                     map[string]summary
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	o := Options{InH: f.Shape[1], InW: f.Shape[2], InC: f.Shape[3], BatchNormGroups: f.Groups,
		Projector: &Projector{Hidden: 128, Out: 64, BatchNorm: true}}
	m := build(t, "resnet-tiny", o)
	k := fillByRule(m)
	n, px, channels := f.Shape[0], f.Shape[1]*f.Shape[2], f.Shape[3]
	x := tensor.New(tensor.WithShape(f.Shape...), tensor.Of(tensor.Float32))
	for i := range x.Float32s() { // the rule counts NCHW
		s, p, c := i/(px*channels), i/channels%px, i%channels
		x.Float32s()[i] = rule(k, (s*channels+c)*px+p)
	}
	dz := tensor.New(tensor.WithShape(n, 64), tensor.Of(tensor.Float32))
	for i := range dz.Float32s() {
		dz.Float32s()[i] = rule(k+1, i)
	}

	features, z := m.Forward(x, true)
	f.Features.check(t, "features", features.Float32s(), tolerance)
	f.Z.check(t, "z", z.Float32s(), tolerance)
	// The last norm sees groups of three samples and multiplies every rounding error: PyTorch's own float32 is up to 1e-4 off here.
	const gradTolerance = 5e-5
	grad := Arena{Data: make([]float32, len(m.Params().Data)), Params: append([]Param(nil), m.Params().Params...)}
	m.Backward(dz, grad.Data)
	grad.bind()
	if len(grad.Params) != len(f.Grads) {
		t.Errorf("%d parameters, PyTorch has %d", len(grad.Params), len(f.Grads))
	}
	for _, p := range grad.Params {
		f.Grads[p.Name].check(t, "gradient of "+p.Name, ToTorch(p).Float32s(), gradTolerance)
	}
	stats := Arena{Data: make([]float32, len(m.Running().Data)), Params: append([]Param(nil), m.Running().Params...)}
	m.BatchStats(stats.Data)
	stats.bind()
	if len(stats.Params) != len(f.Stats) {
		t.Errorf("%d running statistics, PyTorch has %d", len(stats.Params), len(f.Stats))
	}
	for _, p := range stats.Params {
		f.Stats[p.Name].check(t, p.Name, p.Value.Float32s(), tolerance)
	}
	features, z = m.Forward(x, false)
	f.EvalFeatures.check(t, "features in evaluation", features.Float32s(), tolerance)
	f.EvalZ.check(t, "z in evaluation", z.Float32s(), tolerance)
}

// fillByRule sets parameters and running statistics as the fixture has them, and returns the number of tensors.
func fillByRule(m *Model) int {
	running := m.Running().Params
	k := 0
	next := func(p Param, value func(v float32) float32) {
		like := ToTorch(p)
		for i := range like.Float32s() {
			like.Float32s()[i] = value(rule(k, i))
		}
		fromTorch(p, like.Float32s())
		k++
	}
	around1 := func(v float32) float32 { return float32(1 + float64(v)*0.5) }
	for i, p := range m.Params().Params {
		switch {
		case len(p.Shape) > 1:
			next(p, func(v float32) float32 { return v / 16 })
		case p.Name[len(p.Name)-4:] == "bias":
			next(p, func(v float32) float32 { return v })
			if len(m.Params().Params[i-1].Shape) == 1 { // a norm's: its statistics follow
				next(running[0], func(v float32) float32 { return v })
				next(running[1], around1)
				running = running[2:]
			}
		default:
			next(p, around1)
		}
	}
	return k
}

// fromTorch is ToTorch the other way.
func fromTorch(p Param, src []float32) {
	dst := p.Value.Float32s()
	if len(p.Shape) != 4 {
		copy(dst, src)
		return
	}
	taps, in, out := p.Shape[0]*p.Shape[1], p.Shape[2], p.Shape[3]
	for i := range dst {
		dst[i] = src[(i%out*in+i/out%in)*taps+i/(in*out)]
	}
}

// thin are small forms of the large models, for tests alone.
var thin = map[string]architecture{
	"thin basic":       {name: "thin basic", build: resNet{blocks: [4]int{2, 1, 1, 1}, width: 2}.build},
	"thin bottleneck":  {name: "thin bottleneck", build: resNet{blocks: [4]int{1, 2, 1, 1}, width: 2, bottleneck: true}.build},
	"thin transformer": {name: "thin transformer", build: visionTransformer{depth: 2, width: 12, heads: 3}.build, drops: true},
}

func buildThin(t testing.TB, name string, o Options) *Model {
	t.Helper()
	arch, ok := thin[name]
	if !ok {
		return build(t, name, o)
	}
	m, err := arch.model(o, keyed.New(7).For("init"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGradientsAgainstCentralDifferences differentiates the float64 model numerically, along the axes of a few elements of each parameter.
func TestGradientsAgainstCentralDifferences(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		n       int
	}{
		{"thin basic", Options{InH: 9, InW: 16, InC: 3, Projector: &Projector{Hidden: 8, Out: 5, BatchNorm: true}}, 6},
		{"thin basic", Options{InH: 16, InW: 33, InC: 1, Stem: StemImageNet, BatchNormGroups: 2}, 12},
		{"thin bottleneck", Options{InH: 9, InW: 9, InC: 1, Stem: StemCIFAR}, 6},
		{"resnet-tiny", Options{InH: 9, InW: 12, InC: 1, Norm: NormGroup, Projector: &Projector{Hidden: 8, Out: 5}}, 1},
		{"thin basic", Options{InH: 24, InW: 16, InC: 1, Norm: NormGroup}, 2},
		{"thin transformer", Options{InH: 8, InW: 12, InC: 3, Projector: &Projector{Hidden: 8, Out: 5}}, 2},
		{"thin transformer", Options{InH: 9, InW: 12, InC: 1, Patch: 3}, 1},
		{"thin bottleneck", Options{InH: 40, InW: 33, InC: 3, Stem: StemImageNet}, 4},
		{"resnet-tiny", Options{InH: 8, InW: 8, InC: 1, Projector: &Projector{Hidden: 8, Out: 5, BatchNorm: true}}, 4},
		{"resnet-tiny", Options{InH: 9, InW: 10, InC: 3, BatchNormGroups: 2, Projector: &Projector{Hidden: 8, Out: 5, Layers: 3}}, 4},
		{"resnet-tiny", Options{InH: 12, InW: 8, InC: 1}, 3},
		{"mlp", Options{InH: 8, InW: 8, InC: 3, BatchNormGroups: 2, Projector: &Projector{Out: 5, Layers: 1}}, 8},
	} {
		t.Run(fmt.Sprintf("%s-%dx%dx%d", c.name, c.options.InH, c.options.InW, c.options.InC), func(t *testing.T) {
			m := buildThin(t, c.name, c.options)
			x := drawn("images", c.n, c.options.InH, c.options.InW, c.options.InC)
			u := drawn("upstream", c.n, m.OutDim())
			r := newPlain(m)
			loss := func() (sum float64) {
				_, z := r.forward(c.name, x)
				for i, v := range z.v {
					sum += v * float64(u.Float32s()[i])
				}
				return sum
			}
			features, z := m.Forward(x, true)
			wantFeatures, wantZ := r.forward(c.name, x)
			within(t, "features", features.Float32s(), wantFeatures.v, tolerance)
			within(t, "z", z.Float32s(), wantZ.v, tolerance)
			grad := make([]float32, len(m.Params().Data))
			m.Backward(u, grad)
			for _, p := range m.Params().Params {
				key := keyed.New(2).For(p.Name)
				value, g := r.value[p.Name], grad[p.Offset:p.Offset+p.Len]
				var scale float64
				for _, v := range g {
					scale = max(scale, math.Abs(float64(v)))
				}
				for k := range uint64(3) {
					i := key.IntN(k, uint64(p.Len))
					const h = 1e-6
					at := value[i]
					value[i] = at + h
					up := loss()
					value[i] = at - h
					down := loss()
					value[i] = at
					if want := (up - down) / (2 * h); math.Abs(float64(g[i])-want) > 1e-4*scale {
						t.Errorf("gradient of %s[%d] is %v, central difference %v, largest %v", p.Name, i, g[i], want, scale)
					}
				}
			}
		})
	}
}
