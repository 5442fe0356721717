package optim

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
)

type array struct{ Data []float64 }

// fixture is three updates, or a schedule, computed by PyTorch in float64.
type fixture struct{ Inputs, Outputs map[string]array }

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

// arena holds values as one parameter with weight decay and again as one without, at their aligned places.
func arena(values []float64) *nn.Arena {
	step := (len(values) + nn.Align - 1) / nn.Align * nn.Align
	a := &nn.Arena{Data: make([]float32, 2*step)}
	for i, decay := range []bool{true, false} {
		a.Params = append(a.Params, nn.Param{Name: fmt.Sprint("p", i), Shape: []int{len(values)}, Offset: i * step, Len: len(values), Decay: decay})
	}
	spread(a, a.Data, values)
	return a
}

// spread writes values at the place of each parameter.
func spread(a *nn.Arena, dst []float32, values []float64) {
	for _, p := range a.Params {
		for i, v := range values {
			dst[p.Offset+i] = float32(v)
		}
	}
}

func within(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	var worst, scale float64
	for i, w := range want {
		worst, scale = max(worst, math.Abs(float64(got[i])-w)), max(scale, math.Abs(w))
	}
	if !(worst <= 1e-5*scale) {
		t.Errorf("%s: off by %.3g of the largest value, want ≤ 1e-5", what, worst/scale)
	}
}

func TestUpdatesAgainstPyTorch(t *testing.T) {
	for name, config := range recipes {
		f := load(t, name)
		params := arena(f.Inputs["w"].Data)
		grad := make([]float32, len(params.Data))
		o := mustNew(t, config, params)
		for step := range uint64(3) {
			spread(params, grad, f.Inputs[fmt.Sprint("g", step+1)].Data)
			o.Step(grad, config.LR, step)
			for _, p := range params.Params {
				within(t, fmt.Sprintf("%s after %d", name, step+1), params.Data[p.Offset:], f.Outputs[fmt.Sprint("w_after_", step+1)].Data)
			}
		}
		for i, v := range params.Data {
			if i%nn.Align >= params.Params[0].Len && math.Float32bits(v) != 0 {
				t.Fatalf("%s: padding became %v", name, v)
			}
		}
	}
}

// A field of 0 stands for what PyTorch has.
func TestDefaultsAreThoseOfPyTorch(t *testing.T) {
	for _, name := range []string{"adam", "adamw", "lars"} {
		full := recipes[name]
		short := full
		short.Beta1, short.Beta2, short.Eps, short.TrustCoefficient = 0, 0, 0, 0
		var first []float32
		for _, c := range []Config{full, short} {
			params := arena([]float64{1, -2})
			mustNew(t, c, params).Step(append([]float32(nil), params.Data...), 0.1, 0)
			if first != nil && !slices.Equal(first, params.Data) {
				t.Errorf("%s: %v, want %v", name, params.Data, first)
			}
			first = params.Data
		}
	}
}

func mustNew(t testing.TB, c Config, params *nn.Arena) Optimizer {
	t.Helper()
	o, err := New(c, params)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Without gradient only the weight decay moves a value: p·(1 − lr·wd) where it is not scaled.
func TestNormsAndBiasesCanBeSparedFromWeightDecay(t *testing.T) {
	for _, name := range []string{"adamw", "sgd"} {
		for _, spare := range []bool{false, true} {
			params := arena([]float64{1, -2})
			c := Config{Name: name, WeightDecay: 0.5, ExcludeNormAndBias: spare}
			mustNew(t, c, params).Step(make([]float32, len(params.Data)), 0.1, 0)
			decayed, kept := params.Data[0], params.Data[nn.Align]
			if want := map[bool]float32{false: 0.95, true: 1}[spare]; decayed != 0.95 || kept != want {
				t.Errorf("%s, spared %v: %v and %v, want 0.95 and %v", name, spare, decayed, kept, want)
			}
		}
	}
}

// The state is all there is: an optimizer that starts from a copy of values and state goes on with the same bits.
func TestStateIsTheWholeState(t *testing.T) {
	for _, c := range []Config{{Name: "adamw", WeightDecay: 0.01}, {Name: "sgd", Momentum: 0.9}, {Name: "sgd"}, {Name: "lars", Momentum: 0.9, ClipNorm: 1}, {Name: "adam"}} {
		first := arena([]float64{0.5, -1, 2})
		grad := func(step uint64) []float32 {
			g := make([]float32, len(first.Data))
			spread(first, g, []float64{float64(step) - 1.5, 0.3, -0.7 * float64(step)})
			return g
		}
		o := mustNew(t, c, first)
		for step := range uint64(3) {
			o.Step(grad(step), 0.1, step)
		}
		second := arena([]float64{0, 0, 0})
		copy(second.Data, first.Data)
		resumed := mustNew(t, c, second)
		for i, s := range resumed.State() {
			if from := o.State()[i]; from.Name != s.Name || copy(s.Data, from.Data) != len(first.Data) {
				t.Fatalf("slot %d: %s of %d elements", i, s.Name, len(s.Data))
			}
		}
		for step := uint64(3); step < 6; step++ {
			o.Step(grad(step), 0.1, step)
			resumed.Step(grad(step), 0.1, step)
		}
		for i := range first.Data {
			if math.Float32bits(first.Data[i]) != math.Float32bits(second.Data[i]) {
				t.Fatalf("%s: value %d is %v, undisturbed %v", c.Name, i, second.Data[i], first.Data[i])
			}
		}
	}
}

func TestThreadsDoNotShow(t *testing.T) {
	values := make([]float64, 3*runLength+5)
	for i := range values {
		values[i] = float64(i%97) - 48
	}
	t.Cleanup(func() { simd.SetThreads(0) })
	for _, c := range []Config{{Name: "adamw"}, {Name: "adam", WeightDecay: 0.1}, {Name: "sgd", Momentum: 0.9, Nesterov: true}, {Name: "lars", Momentum: 0.9}, {Name: "lars", ClipNorm: 1}} {
		var want []float32
		for _, threads := range []int{1, 2, 5} {
			simd.SetThreads(threads)
			params := arena(values)
			grad := append([]float32(nil), params.Data...)
			o := mustNew(t, c, params)
			o.Step(grad, 0.1, 0)
			if want == nil {
				want = append(want, params.Data...)
			}
			for i := range want {
				if math.Float32bits(want[i]) != math.Float32bits(params.Data[i]) {
					t.Fatalf("%s with %d threads: value %d is %v, want %v", c.Name, threads, i, params.Data[i], want[i])
				}
			}
		}
	}
}

func TestPowerAgainstTheStandardLibrary(t *testing.T) {
	for _, x := range []float64{0.9, 0.999, 0} {
		for n := range uint64(3000) {
			if got, want := power(x, n), math.Pow(x, float64(n)); math.Abs(got-want) > 1e-12*want {
				t.Fatalf("%v to the %d is %v, want %v", x, n, got, want)
			}
		}
	}
}

func TestImpossibleSettingsAreAllTold(t *testing.T) {
	_, err := New(Config{Name: "adagrad", TrustCoefficient: -2, ClipNorm: math.Inf(1), LR: -1, WeightDecay: math.Inf(1), Momentum: 1, Beta1: -0.1, Beta2: 1, Eps: math.NaN()}, &nn.Arena{})
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("no such error: %v", err)
	}
	for _, field := range []string{`name "adagrad"`, "adamw, sgd, lars, adam", "trust coefficient -2", "clipped norm +Inf", "learning rate -1", "weight decay +Inf", "momentum 1", "beta1 -0.1", "beta2 1", "eps NaN"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not told in: %v", field, err)
		}
	}
	if _, err := New(Config{Name: "sgd", Nesterov: true}, &nn.Arena{}); !errors.Is(err, ErrConfig) {
		t.Errorf("Nesterov without momentum: %v", err)
	}
}

func TestShortGradientPanics(t *testing.T) {
	params := arena([]float64{1})
	o := mustNew(t, Config{Name: "sgd"}, params)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	o.Step(make([]float32, 1), 0.1, 0)
}

// BenchmarkStep updates as many parameters as ResNet-50 has.
func BenchmarkStep(b *testing.B) {
	params := arena(make([]float64, 12_500_000))
	grad := make([]float32, len(params.Data))
	for i := range grad {
		grad[i] = float32(i%13) - 6
	}
	for _, c := range []Config{{Name: "adamw", WeightDecay: 0.01}, {Name: "sgd", Momentum: 0.9, WeightDecay: 1e-4}, {Name: "lars", Momentum: 0.9}, {Name: "sgd", ClipNorm: 1}} {
		b.Run(fmt.Sprintf("%s/momentum=%v/clip=%v", c.Name, c.Momentum, c.ClipNorm), func(b *testing.B) {
			o := mustNew(b, c, params)
			o.Step(grad, 1e-3, 0) // the state's memory is there after this
			for step := uint64(1); b.Loop(); step++ {
				o.Step(grad, 1e-3, step)
			}
		})
	}
	b.Run("average", func(b *testing.B) {
		average := NewAverage(make([]float32, len(params.Data)), params.Data)
		average.Follow(0)
		for b.Loop() {
			average.Follow(0.99)
		}
	})
}
