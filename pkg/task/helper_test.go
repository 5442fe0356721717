package task

import (
	"context"
	"errors"
	"math"
	"slices"
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
	shape := own[0].Shape().Clone()
	shape[0] *= g.size
	if own[0].Dtype() == tensor.Uint64 {
		var all []uint64
		for _, t := range own {
			all = append(all, t.Uint64s()...)
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(all)), nil
	}
	var all []float32
	for _, t := range own {
		all = append(all, t.Float32s()...)
	}
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
	return nil, errors.New("no task needs a maximum")
}

const (
	testRanks, testBatch, testSide = 2, 8, 8
	testBank, testTau              = 21, 0.2
)

// settings are a small form of every task.
var settings = []Config{
	{Name: "moco", Loss: "infonce", Temperature: testTau, Momentum: 0.9, ShuffleGroups: 1, BankSize: testBank},
	{Name: "moco", Loss: "dcl", Temperature: testTau, Momentum: 0.9, ShuffleGroups: 1, BankSize: testBank},
	{Name: "moco", Loss: "hard", Temperature: testTau, Momentum: 0.9, ShuffleGroups: 1, BankSize: testBank, TauPlus: 0.1, Beta: 0.5},
	{Name: "simclr", Loss: "ntxent", Temperature: testTau},
	{Name: "simclr", Loss: "dcl", Temperature: testTau},
	{Name: "simclr", Loss: "debiased", Temperature: testTau, TauPlus: 0.1},
	{Name: "simclr", Loss: "hard", Temperature: testTau, TauPlus: 0.1, Beta: 0.5},
	{Name: "simclr", Loss: "supcon", Temperature: testTau},
	{Name: "simclr", Loss: "crossview", Temperature: testTau},
	{Name: "simclr", Loss: "sigmoid", Temperature: testTau, InitialBias: -3},
	{Name: "mocov3", Temperature: testTau, Momentum: 0.9},
	{Name: "byol", Momentum: 0.9},
	{Name: "simsiam"},
	{Name: "barlowtwins", Redundancy: 0.05},
	{Name: "vicreg", Invariance: 25, Variance: 25, Covariance: 1},
}

// predicts tells whether a task needs a predictor.
func predicts(c Config) bool { return slices.Contains([]string{"mocov3", "byol", "simsiam"}, c.Name) }

// testEnvironment owns all virtual ranks.
func testEnvironment(t *testing.T, c Config) Environment {
	t.Helper()
	key := keyed.New(3)
	options := nn.Options{InH: testSide, InW: testSide, InC: 1, BatchNormGroups: c.ShuffleGroups, Projector: &nn.Projector{Hidden: 16, Out: 8, BatchNorm: true}}
	if predicts(c) {
		options.Predictor = &nn.Predictor{Hidden: 12, BatchNorm: true}
	}
	model, err := nn.New("resnet-tiny", options, key)
	if err != nil {
		t.Fatal(err)
	}
	return Environment{Model: model, VirtualRanks: testRanks, Hi: testRanks, GlobalBatch: testBatch, Key: key}
}

func newTest(t *testing.T, c Config) Task {
	t.Helper()
	made, err := New(c, testEnvironment(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func testBatches(step uint64) []Batch {
	var out []Batch
	n := testBatch / testRanks
	for v := range testRanks {
		b := Batch{VirtualRank: v, Fields: map[string]*tensor.Dense{}}
		for i := range n {
			b.Positions = append(b.Positions, step*testBatch+uint64(v*n+i))
			b.Samples = append(b.Samples, uint64(v*n+i)) // the same in each step
			b.Labels = append(b.Labels, (step+uint64(v*n+i)*7)%3)
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
