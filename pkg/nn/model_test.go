package nn

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

func build(t testing.TB, name string, o Options) *Model {
	t.Helper()
	m, err := New(name, o, keyed.New(7).For("init"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// small is the reference model over 16×16 images.
func small() Options {
	return Options{InH: 16, InW: 16, InC: 1, Projector: &Projector{Hidden: 128, Out: 64, BatchNorm: true}}
}

func TestResNetTinyHasTheReferencesParameters(t *testing.T) {
	m := build(t, "resnet-tiny", Options{InH: 28, InW: 28, InC: 1, Projector: &Projector{Hidden: 128, Out: 64, BatchNorm: true}})
	var names []string
	total := 0
	for _, p := range m.Params().Params {
		names = append(names, p.Name)
		total += p.Len
	}
	want := "conv1.weight bn1.weight bn1.bias " +
		"layer1.0.conv1.weight layer1.0.bn1.weight layer1.0.bn1.bias layer1.0.conv2.weight layer1.0.bn2.weight layer1.0.bn2.bias " +
		"layer1.0.downsample.0.weight layer1.0.downsample.1.weight layer1.0.downsample.1.bias " +
		"layer2.0.conv1.weight layer2.0.bn1.weight layer2.0.bn1.bias layer2.0.conv2.weight layer2.0.bn2.weight layer2.0.bn2.bias " +
		"layer2.0.downsample.0.weight layer2.0.downsample.1.weight layer2.0.downsample.1.bias " +
		"projector.0.weight projector.1.weight projector.1.bias projector.3.weight projector.3.bias"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("names are\n%s\nwant\n%s", got, want)
	}
	// 9·32 + (9·32·64 + 9·64·64 + 32·64) + (9·64·128 + 9·128·128 + 64·128) weights, 2 × 800 of norms, and the head.
	if const8 := 288 + 57344 + 229376 + 2*(32+3*64+3*128); total != const8+512*128+2*128+128*64+64 {
		t.Errorf("%d parameters", total)
	}
	if m.FeatureDim() != 512 || m.OutDim() != 64 {
		t.Errorf("%d features, %d outputs", m.FeatureDim(), m.OutDim())
	}
	end := 0
	for _, p := range append(append([]Param(nil), m.Params().Params...), Param{Offset: len(m.Params().Data)}) {
		if p.Offset%Align != 0 || p.Offset < end {
			t.Errorf("%s starts at %d after %d", p.Name, p.Offset, end)
		}
		for _, v := range m.Params().Data[end:p.Offset] {
			if v != 0 {
				t.Errorf("padding before %s is %v", p.Name, v)
			}
		}
		end = p.Offset + p.Len
	}
}

func TestInitialValues(t *testing.T) {
	m := build(t, "resnet-tiny", small())
	for _, p := range m.Params().Params {
		var mean, square, largest float64
		for _, v := range p.Value.Float32s() {
			mean += float64(v) / float64(p.Len)
			square += float64(v) * float64(v) / float64(p.Len)
			largest = max(largest, math.Abs(float64(v)))
		}
		switch {
		case len(p.Shape) == 4: // N(0, 2/(K²·Cout))
			want := 2 / float64(p.Shape[0]*p.Shape[1]*p.Shape[3])
			if math.Abs(square/want-1) > 6/math.Sqrt(float64(p.Len)) || math.Abs(mean) > 5*math.Sqrt(want/float64(p.Len)) {
				t.Errorf("%s: mean %v, mean square %v, want 0, %v", p.Name, mean, square, want)
			}
		case strings.HasPrefix(p.Name, "projector.0") || strings.HasPrefix(p.Name, "projector.3"): // U(±1/√in)
			bound := 1 / math.Sqrt(map[byte]float64{'0': 512, '3': 128}[p.Name[10]])
			if largest > bound || largest < 0.9*bound || math.Abs(square/(bound*bound/3)-1) > 6/math.Sqrt(float64(p.Len)) {
				t.Errorf("%s: largest %v, mean square %v, want %v, %v", p.Name, largest, square, bound, bound*bound/3)
			}
		case strings.HasSuffix(p.Name, "weight") && (mean != 1 || square != 1), strings.HasSuffix(p.Name, "bias") && largest != 0:
			t.Errorf("%s starts with %v", p.Name, p.Value)
		}
		if p.Decay != (len(p.Shape) > 1) {
			t.Errorf("%s: decay %v", p.Name, p.Decay)
		}
	}
	o := small()
	o.Projector = nil
	bare := build(t, "resnet-tiny", o)
	same(t, "encoder without a projector", bare.Params().Data, m.Params().Data[:len(bare.Params().Data)])
}

func TestImpossibleModels(t *testing.T) {
	key := keyed.New(1)
	_, err := New("resnet-giant", small(), key)
	if !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "mlp, resnet-tiny") {
		t.Errorf("unknown name: %v", err)
	}
	_, err = New("mlp", Options{InH: 4, InW: 28, Projector: &Projector{}, Predictor: &Predictor{Layers: -1}, BatchNormGroups: -1}, key)
	if !errors.Is(err, ErrOptions) {
		t.Errorf("impossible options: %v", err)
	}
	for _, field := range []string{"4×28", "0 channels", "-1 groups", "0 outputs", "0 hidden", "predictor of -1 layers"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not told in: %v", field, err)
		}
	}
	o := small()
	o.BatchNormGroups = 3
	m := build(t, "resnet-tiny", o)
	for _, c := range []struct {
		shape tensor.Shape
		train bool
		ok    bool
	}{
		{tensor.Shape{6, 16, 16, 1}, true, true}, {tensor.Shape{4, 16, 16, 1}, false, true}, {tensor.Shape{4, 16, 16, 1}, true, false},
		{tensor.Shape{3, 16, 16, 1}, true, false}, {tensor.Shape{6, 16, 16, 3}, true, false}, {tensor.Shape{6, 256}, true, false},
	} {
		if err := m.CheckBatch(c.shape, c.train); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBatch) {
			t.Errorf("%v, training %v: %v", c.shape, c.train, err)
		}
	}
}

// outcome is all that one training pass yields.
type outcome struct{ features, z, grad, stats []float32 }

func train(m *Model, x, dz *tensor.Dense) outcome {
	o := outcome{grad: make([]float32, len(m.Params().Data)), stats: make([]float32, len(m.Running().Data))}
	features, z := m.Forward(x, true)
	o.features, o.z = append(o.features, features.Float32s()...), append(o.z, z.Float32s()...)
	m.Backward(dz, o.grad)
	m.BatchStats(o.stats)
	return o
}

func (o outcome) same(t *testing.T, want outcome) {
	t.Helper()
	same(t, "features", o.features, want.features)
	same(t, "z", o.z, want.z)
	same(t, "gradient", o.grad, want.grad)
	same(t, "batch statistics", o.stats, want.stats)
}

func TestThreadsAndReplicasDoNotShowInTheResult(t *testing.T) {
	m := build(t, "resnet-tiny", small())
	const replicas, batch = 4, 6
	var inputs, upstream [replicas]*tensor.Dense
	var want [replicas]outcome
	simd.SetThreads(1)
	t.Cleanup(func() { simd.SetThreads(0) })
	for i := range replicas {
		inputs[i] = drawn("images"+string(rune('a'+i)), batch, 16, 16, 1)
		upstream[i] = drawn("upstream"+string(rune('a'+i)), batch, 64)
		want[i] = train(m, inputs[i], upstream[i])
	}
	for _, threads := range []int{2, 3, 8} {
		simd.SetThreads(threads)
		train(m, inputs[0], upstream[0]).same(t, want[0])
		var got [replicas]outcome
		var all sync.WaitGroup
		for i := range replicas {
			r := m.Replica()
			all.Go(func() {
				for range 2 { // buffers are reused in the second round
					got[i] = train(r, inputs[i], upstream[i])
				}
			})
		}
		all.Wait()
		for i := range replicas {
			got[i].same(t, want[i])
		}
	}
}

func TestOldContentsDoNotShowInTheResult(t *testing.T) {
	m := build(t, "resnet-tiny", small())
	x, dz := drawn("images", 4, 16, 16, 1), drawn("upstream", 4, 64)
	want := train(m, x, dz)
	m.Forward(drawn("others", 9, 16, 16, 1), false)
	m.Forward(drawn("more", 7, 16, 16, 1), true)
	got := train(m, x, dz)
	got.same(t, want)
	for i := range got.grad {
		got.grad[i], got.stats[i%len(got.stats)] = 5, 5
	}
	_, z := m.Forward(x, true)
	before := append([]float32(nil), dz.Float32s()...)
	m.Backward(dz, got.grad)
	m.Forward(x, false) // evaluation leaves the statistics of training alone
	m.BatchStats(got.stats)
	same(t, "gradient over old contents", got.grad, want.grad)
	same(t, "statistics over old contents", got.stats, want.stats)
	same(t, "the caller's gradient", dz.Float32s(), before)
	if z.Shape()[0] != 4 {
		t.Errorf("z is %v", z.Shape())
	}
}

func TestReplicaSharesAndCloneCopies(t *testing.T) {
	m := build(t, "mlp", small())
	x := drawn("images", 4, 16, 16, 1)
	replica, clone := m.Replica(), m.Clone()
	_, z := clone.Forward(x, false)
	before := append([]float32(nil), z.Float32s()...)
	for _, a := range []*Arena{m.Params(), m.Running()} {
		for _, p := range a.Params {
			for i := range p.Value.Float32s() {
				p.Value.Float32s()[i] += 0.5
			}
		}
	}
	_, z = clone.Forward(x, false)
	same(t, "a clone after its origin moved", z.Float32s(), before)
	_, z = m.Forward(x, false)
	_, shared := replica.Forward(x, false)
	same(t, "a replica after its origin moved", shared.Float32s(), z.Float32s())
	if math.Float32bits(shared.Float32s()[0]) == math.Float32bits(before[0]) {
		t.Error("a replica does not see its origin's values")
	}
	copy(clone.Params().Data, m.Params().Data)
	if clone.Params().Params[3].Value.Float32s()[0] != clone.Params().Data[clone.Params().Params[3].Offset] {
		t.Error("a clone's parameters do not view its own arena")
	}
}

func TestBackwardWithoutForward(t *testing.T) {
	var m *Model
	x, dz, grad := drawn("images", 4, 16, 16, 1), drawn("upstream", 4, 64), make([]float32, len(build(t, "mlp", small()).Params().Data))
	for what, run := range map[string]func(){
		"backward first":            func() { m.Backward(dz, grad) },
		"backward after evaluation": func() { m.Forward(x, false); m.Backward(dz, grad) },
		"second backward":           func() { m.Forward(x, true); m.Backward(dz, grad); m.Backward(dz, grad) },
		"short gradient":            func() { m.Forward(x, true); m.Backward(dz, grad[1:]) },
		"wrong upstream":            func() { m.Forward(x, true); m.Backward(drawn("upstream", 3, 64), grad) },
		"wrong images":              func() { m.Forward(drawn("images", 4, 16, 16, 3), true) },
		"strided images": func() {
			v, _ := drawn("images", 4, 16, 17, 1).Slice(nil, tensor.S(0, 16))
			m.Forward(v.(*tensor.Dense), true)
		},
	} {
		func() {
			m = build(t, "mlp", small())
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			run()
		}()
	}
}
