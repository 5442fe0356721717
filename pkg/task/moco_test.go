package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"gorgonia.org/tensor"
)

// alone is a Group whose one worker owns all virtual ranks; it adds in float64.
type alone struct{ size int }

func (g alone) Size() int         { return g.size }
func (g alone) Owned() (int, int) { return 0, g.size }

func (g alone) AllGather(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	var all []float32
	for _, t := range own {
		all = append(all, t.Float32s()...)
	}
	shape := own[0].Shape().Clone()
	shape[0] *= g.size
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(all)), nil
}

func (g alone) Sum(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	sum := zeros(own[0].Shape()...)
	for i := range sum.Float32s() {
		x := 0.0
		for _, t := range own {
			x += float64(t.Float32s()[i])
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, ErrNotFinite
		}
		sum.Float32s()[i] = float32(x)
	}
	return sum, nil
}

func (g alone) SumScatter(ctx context.Context, own []*tensor.Dense, _ float32) ([]*tensor.Dense, error) {
	sum, err := g.Sum(ctx, own)
	if err != nil {
		return nil, err
	}
	shape := own[0].Shape().Clone()
	shape[0] /= g.size
	part := shape.TotalSize()
	var out []*tensor.Dense
	for v := range g.size {
		out = append(out, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(sum.Float32s()[v*part:(v+1)*part])))
	}
	return out, nil
}

func (g alone) Max(context.Context, []*tensor.Dense) (*tensor.Dense, error) {
	return nil, errors.New("MoCo needs no maximum")
}

const (
	testRanks, testBatch, testSide = 2, 8, 8
	testBank, testTau              = 21, 0.2
)

func newTestMoCo(t *testing.T, groups int) *moco {
	t.Helper()
	key := keyed.New(3)
	model, err := nn.New("resnet-tiny", nn.Options{InH: testSide, InW: testSide, InC: 1, BatchNormGroups: groups, Projector: &nn.Projector{Hidden: 16, Out: 8, BatchNorm: true}}, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{Name: "moco", Temperature: testTau, Momentum: 0.9, ShuffleGroups: groups, BankSize: testBank},
		Environment{Model: model, VirtualRanks: testRanks, Hi: testRanks, GlobalBatch: testBatch, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*moco)
}

func testBatches(step uint64) []Batch {
	var out []Batch
	n := testBatch / testRanks
	for v := range testRanks {
		b := Batch{VirtualRank: v, Fields: map[string]*tensor.Dense{}}
		for i := range n {
			b.Positions = append(b.Positions, step*testBatch+uint64(v*n+i))
		}
		for _, view := range []string{"view1", "view2"} {
			x := zeros(n, testSide, testSide, 1)
			key := keyed.New(9).For(view).At(step, uint64(v))
			for i := range x.Float32s() {
				x.Float32s()[i] = float32(key.Normal(uint64(i)))
			}
			b.Fields[view] = x
		}
		out = append(out, b)
	}
	return out
}

// The step's gradient against one computed from all logits at once, in float64, with the same network.
func TestStepAgainstTheDefinition(t *testing.T) {
	m := newTestMoCo(t, 1)
	twin := newTestMoCo(t, 1)
	own := testBatches(0)
	var got []float64
	metrics, err := m.Step(context.Background(), alone{testRanks}, 0, own, func(context.Context, string) error {
		got = make([]float64, len(m.query.grads[0].Float32s()))
		for _, g := range m.query.grads {
			for i, x := range g.Float32s() {
				got[i] += float64(x)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantLoss, want := definition(twin, own)
	if e := math.Abs(metrics["loss"]-wantLoss) / wantLoss; e > 1e-5 {
		t.Errorf("loss %v, want %v", metrics["loss"], wantLoss)
	}
	worst, size := 0.0, 0.0
	for i := range want {
		worst, size = max(worst, math.Abs(got[i]-want[i])), max(size, math.Abs(want[i]))
	}
	if worst/size > 1e-5 {
		t.Errorf("gradient is off by %.2e of its largest element", worst/size)
	}
}

// definition is MoCo's loss and gradient with the whole bank's logits, in float64 down to the network's output.
func definition(m *moco, own []Batch) (loss float64, grad []float64) {
	d, b := m.width, m.env.GlobalBatch
	n := b / m.env.VirtualRanks
	unit := func(x []float32) ([]float64, float64) {
		norm := 0.0
		for _, v := range x {
			norm += float64(v) * float64(v)
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v) / math.Sqrt(norm)
		}
		return y, math.Sqrt(norm)
	}
	grad = make([]float64, len(m.query.grads[0].Float32s()))
	for i := range own {
		_, zk := m.key.runs[i].model.Forward(own[i].Fields["view2"], true)
		_, zq := m.query.runs[i].model.Forward(own[i].Fields["view1"], true)
		dz := zeros(n, d)
		for r := range n {
			q, norm := unit(zq.Float32s()[r*d : (r+1)*d])
			k, _ := unit(zk.Float32s()[r*d : (r+1)*d])
			rows := [][]float64{k}
			for _, shard := range m.bank {
				for j := 0; j < len(shard.Keys()); j += d {
					row := make([]float64, d)
					for c := range d {
						row[c] = float64(shard.Keys()[j+c])
					}
					rows = append(rows, row)
				}
			}
			z, scores := 0.0, make([]float64, len(rows))
			for j, row := range rows {
				for c := range d {
					scores[j] += q[c] * row[c] / testTau
				}
				z += math.Exp(scores[j])
			}
			loss += (math.Log(z) - scores[0]) / float64(b)
			g, along := make([]float64, d), 0.0
			for j, row := range rows {
				p := math.Exp(scores[j]) / z
				if j == 0 {
					p--
				}
				for c := range d {
					g[c] += p * row[c] / testTau / float64(b)
				}
			}
			for c := range d {
				along += g[c] * q[c]
			}
			for c := range d {
				dz.Float32s()[r*d+c] = float32((g[c] - along*q[c]) / norm)
			}
		}
		one := make([]float32, len(grad))
		m.query.runs[i].model.Backward(dz, one)
		for j, x := range one {
			grad[j] += float64(x)
		}
	}
	return loss, grad
}

func TestASkippedStepChangesNothing(t *testing.T) {
	m := newTestMoCo(t, 1)
	step := func(own []Batch, update func(context.Context, string) error) error {
		_, err := m.Step(context.Background(), alone{testRanks}, 1, own, update)
		return err
	}
	before := fmt.Sprint(values(m))
	poisoned := testBatches(1)
	poisoned[1].Fields["view1"].Float32s()[5] = float32(math.NaN())
	if err := step(poisoned, nil); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("a NaN in the input gave %v, want ErrNotFinite", err)
	}
	if err := step(testBatches(1), func(context.Context, string) error { return ErrNotFinite }); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("a gradient that is not finite gave %v", err)
	}
	if fmt.Sprint(values(m)) != before {
		t.Error("the state has changed")
	}
	if err := step(testBatches(1), func(context.Context, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(values(m)) == before {
		t.Error("a step that was not skipped changed nothing")
	}
}

func values(m *moco) (all []any) {
	for _, v := range m.State() {
		all = append(all, v.Name, v.VirtualRank, v.Value.Data())
	}
	return all
}

func TestTheBankHoldsTheNewestKeysAndTheirOrigin(t *testing.T) {
	m := newTestMoCo(t, 1)
	for step := range uint64(3) {
		if _, err := m.Step(context.Background(), alone{testRanks}, step, testBatches(step), func(context.Context, string) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	// Shard 1 has 11 entries and has seen 12 keys: the first one is gone.
	seen := map[uint64]int{}
	for _, v := range m.State() {
		if v.Name == "bank.positions" && v.VirtualRank == 1 {
			for _, p := range v.Value.Uint64s() {
				seen[p]++
			}
		}
	}
	for step := range uint64(3) {
		for i := range uint64(4) {
			p, want := step*testBatch+4+i, 1
			if p == 4 {
				want = 0
			}
			if seen[p] != want {
				t.Errorf("position %d is in the shard %d times, want %d", p, seen[p], want)
			}
		}
	}
}

func TestShuffledKeysComeBackInTheirOrder(t *testing.T) {
	m := newTestMoCo(t, 2)
	own := testBatches(0)
	shuffled, order := m.shuffle(0, 0, own[0])
	size := testSide * testSide
	moved := false
	for to, from := range order {
		moved = moved || to != from
		for j := range size {
			if shuffled.Float32s()[to*size+j] != own[0].Fields["view2"].Float32s()[from*size+j] {
				t.Fatalf("row %d is not row %d of the batch", to, from)
			}
		}
	}
	if !moved {
		t.Error("nothing was shuffled")
	}
	m.embed(0, own)
	// Undo by hand: run the key encoder on the shuffled views and compare one key.
	_, z := m.key.runs[0].model.Forward(shuffled, true)
	d := m.width
	for to, from := range order {
		dot, norm := 0.0, 0.0
		for c := range d {
			x := float64(z.Float32s()[to*d+c])
			dot += x * float64(m.key.unit(0)[from*d+c])
			norm += x * x
		}
		if math.Abs(dot/math.Sqrt(norm)-1) > 1e-5 {
			t.Errorf("the key of sample %d points elsewhere", from)
		}
	}
}

func TestUnusableSettingsAreRefused(t *testing.T) {
	model, err := nn.New("mlp", nn.Options{InH: 8, InW: 8, InC: 1}, keyed.New(1))
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{Model: model, VirtualRanks: 2, Hi: 2, GlobalBatch: 8}
	good := Config{Name: "moco", Temperature: 0.2, Momentum: 0.99, ShuffleGroups: 1, BankSize: 16}
	for _, change := range []func(*Config, *Environment){
		func(c *Config, _ *Environment) { c.Name = "moko" },
		func(c *Config, _ *Environment) { c.Temperature = 0 },
		func(c *Config, _ *Environment) { c.Momentum = 1 },
		func(c *Config, _ *Environment) { c.ShuffleGroups = 3 },
		func(c *Config, _ *Environment) { c.BankSize = 1 },
		func(_ *Config, e *Environment) { e.GlobalBatch = 7 },
		func(_ *Config, e *Environment) { e.Lo = 2 },
	} {
		c, e := good, env
		change(&c, &e)
		if _, err := New(c, e); err == nil {
			t.Errorf("%+v with %+v was accepted", c, e)
		}
	}
}
