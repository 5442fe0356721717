package nn

import (
	"errors"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

func TestDropoutKeepsTheExpectation(t *testing.T) {
	const n, size, rate = 8, 5000, 0.3
	for _, c := range []struct {
		name   string
		layers sequence
		spread float64 // deviation of the share of zeros over the batch
	}{{"elements", elementDrop("drop", rate, size), 0.01}, {"paths", pathDrop("drop", rate, size/8), 0}} {
		l := c.layers[0]
		p := &pass{n: n, train: true, draws: keyed.New(1)}
		x := make([]float32, n*size)
		for i := range x {
			x[i] = 1
		}
		y := l.forward(p, x)
		zeros, sum := 0, 0.0
		for _, v := range y {
			if v == 0 {
				zeros++
			} else if math.Abs(float64(v)-1/(1-rate)) > 1e-4 && c.name == "elements" {
				t.Fatalf("%s: what stays is %v, want %v", c.name, v, 1/(1-rate))
			}
			sum += float64(v)
		}
		if share := float64(zeros) / float64(len(y)); c.spread > 0 && math.Abs(share-rate) > c.spread {
			t.Errorf("%s: %v of the elements left out, want about %v", c.name, share, rate)
		}
		if mean := sum / float64(len(y)); c.spread > 0 && math.Abs(mean-1) > 2*c.spread {
			t.Errorf("%s: mean %v, want about 1", c.name, mean)
		}
		// The gradient goes where the value went.
		want := append([]float32(nil), y...)
		dy := make([]float32, n*size)
		for i := range dy {
			dy[i] = 1
		}
		same(t, c.name, l.backward(p, dy, true), want)
		p.train = false
		same(t, c.name+" in evaluation", l.forward(p, append([]float32(nil), dy...)), dy)
	}
}

func TestDropPathLeavesOutWholeSamples(t *testing.T) {
	const n, size, rate = 4000, 3, 0.25
	p := &pass{n: n, train: true, draws: keyed.New(1)}
	x := make([]float32, n*size)
	for i := range x {
		x[i] = 1
	}
	pathDrop("drop", rate, size)[0].forward(p, x)
	out := 0
	for s := range n {
		sample := x[s*size : (s+1)*size]
		for _, v := range sample {
			if v != sample[0] || v != 0 && math.Abs(float64(v)-1/(1-rate)) > 1e-4 {
				t.Fatalf("sample %d is %v", s, sample)
			}
		}
		if sample[0] == 0 {
			out++
		}
	}
	if share := float64(out) / n; math.Abs(share-rate) > 0.03 {
		t.Errorf("%v of the samples left out, want about %v", share, rate)
	}
}

func dropping(t testing.TB) *Model {
	return buildThin(t, "thin transformer", Options{InH: 8, InW: 12, InC: 1, Projector: &Projector{Hidden: 8, Out: 5},
		Dropout: Dropout{Attention: 0.2, Projection: 0.15, Position: 0.1, Path: 0.3}})
}

// A sample's draws depend on the key and on its place in the batch, not on the rest of the batch, the threads, the replica or the passes before.
func TestDrawsAreKeyed(t *testing.T) {
	m := dropping(t)
	x, key := drawn("images", 4, 8, 12, 1), keyed.New(3)
	embeddings := func(m *Model, x *tensor.Dense, key keyed.Key) []float32 {
		m.Draw(key)
		_, z := m.Forward(x, true)
		return append([]float32(nil), z.Float32s()...)
	}
	want := embeddings(m, x, key)
	same(t, "the same pass again", embeddings(m, x, key), want)
	same(t, "two samples of the four", embeddings(m, drawn("images", 2, 8, 12, 1), key), want[:2*m.OutDim()])
	simd.SetThreads(1)
	defer simd.SetThreads(0)
	same(t, "a replica on one thread", embeddings(m.Replica(), x, key), want)
	other := embeddings(m, x, keyed.New(4))
	equal := 0
	for i := range want {
		if other[i] == want[i] {
			equal++
		}
	}
	if equal == len(want) {
		t.Error("another key draws the same")
	}
	_, z := m.Forward(x, false)
	evaluated := append([]float32(nil), z.Float32s()...)
	m.Draw(keyed.New(4))
	_, z = m.Forward(x, false)
	same(t, "evaluation", z.Float32s(), evaluated)
}

// With its draws held, the model is a function like any other: its gradient is that of differences, here along the gradient of each parameter.
func TestGradientThroughDropout(t *testing.T) {
	m := dropping(t)
	m.Draw(keyed.New(5))
	x, u := drawn("images", 3, 8, 12, 1), drawn("upstream", 3, m.OutDim())
	loss := func() (sum float64) {
		_, z := m.Forward(x, true)
		for i, v := range z.Float32s() {
			sum += float64(v) * float64(u.Float32s()[i])
		}
		return sum
	}
	loss()
	grad := make([]float32, len(m.Params().Data))
	m.Backward(u, grad)
	for _, p := range m.Params().Params {
		g := grad[p.Offset : p.Offset+p.Len]
		length := math.Sqrt(float64(simd.Dot(g, g)))
		value, at := p.Value.Float32s(), append([]float32(nil), p.Value.Float32s()...)
		const h = 2e-3
		along := func(step float64) float64 {
			for i := range value {
				value[i] = at[i] + float32(step*float64(g[i])/length)
			}
			defer copy(value, at)
			return loss()
		}
		if slope := (along(h) - along(-h)) / (2 * h); length > 1e-2 && math.Abs(slope-length) > 2e-2*length {
			t.Errorf("along the gradient of %s the loss rises by %v, want %v", p.Name, slope, length)
		}
	}
}

func TestDropoutIsForTransformers(t *testing.T) {
	for name, o := range map[string]Options{
		"resnet-tiny": {InH: 8, InW: 8, InC: 1, Dropout: Dropout{Projection: 0.1}},
		"vit-tiny":    {InH: 8, InW: 8, InC: 1, Dropout: Dropout{Path: 1}},
	} {
		if _, err := New(name, o, keyed.New(1)); !errors.Is(err, ErrOptions) {
			t.Errorf("%s with %+v: %v, want ErrOptions", name, o.Dropout, err)
		}
	}
}

// The four numbers of a word are told apart one by one.
func TestKeptComparesEachNumber(t *testing.T) {
	key := keyed.New(6)
	for i := range uint64(1000) {
		r := dropRate{dropped: key.IntN(2*i, drawScale)}
		v := key.Uint64(2*i + 1)
		if i%5 == 0 { // the border itself
			v = v&^0xffff | r.dropped
		}
		want := uint64(0)
		for e := range 4 {
			if v>>(16*e)%drawScale >= r.dropped {
				want |= 1 << e
			}
		}
		if got := r.kept(v); got != want {
			t.Fatalf("%#x against %#x: %04b, want %04b", v, r.dropped, got, want)
		}
	}
}
