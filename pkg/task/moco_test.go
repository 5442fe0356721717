package task

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"gorgonia.org/tensor"
)

func newTestMoCo(t *testing.T, groups int) *moco {
	t.Helper()
	c := settings[0]
	c.ShuffleGroups = groups
	return newTest(t, c).(*moco)
}

func TestTheBankHoldsTheNewestKeysAndTheirOrigin(t *testing.T) {
	m := newTestMoCo(t, 1)
	for step := range uint64(3) {
		if _, err := m.Step(context.Background(), alone{testRanks}, step, testBatches(step), func(context.Context, ...string) error { return nil }); err != nil {
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

func TestGuessingNeedsAPredictor(t *testing.T) {
	e := testEnvironment(t, Config{}) // whose model has none
	for _, name := range []string{"byol", "simsiam"} {
		if _, err := New(Config{Name: name, Momentum: 0.9}, e); err == nil || !strings.Contains(err.Error(), "predictor") {
			t.Errorf("%s without a predictor: %v", name, err)
		}
	}
	if _, err := New(Config{Name: "byol", Momentum: 1}, testEnvironment(t, Config{Name: "byol"})); err == nil || !strings.Contains(err.Error(), "momentum") {
		t.Errorf("a target that never moves: %v", err)
	}
}

func TestUnusableWeightsAreRefused(t *testing.T) {
	e := testEnvironment(t, Config{})
	for _, c := range []Config{{Name: "barlowtwins", Redundancy: -1}, {Name: "vicreg", Covariance: -1}, {Name: "vicreg", Variance: math.NaN()}} {
		if _, err := New(c, e); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	e.VirtualRanks, e.Hi, e.GlobalBatch = 1, 1, 1
	for _, name := range []string{"barlowtwins", "vicreg"} {
		if _, err := New(Config{Name: name}, e); err == nil {
			t.Errorf("%s with one sample was accepted", name)
		}
	}
}

func TestUnusableSettingsAreRefused(t *testing.T) {
	model, err := nn.New("mlp", nn.Options{InH: 8, InW: 8, InC: 1}, keyed.New(1))
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{Model: model, VirtualRanks: 2, Hi: 2, GlobalBatch: 8}
	for _, name := range []string{"moco", "simclr", "mocov3"} {
		good := Config{Name: name, Loss: "hard", Temperature: 0.2, Momentum: 0.99, ShuffleGroups: 1, BankSize: 16, TauPlus: 0.1, Beta: 1}
		if _, err := New(good, env); err != nil {
			t.Fatalf("%+v with %+v: %v", good, env, err)
		}
		changes := []func(*Config, *Environment){
			func(c *Config, _ *Environment) { c.Name += "x" },
			func(c *Config, _ *Environment) { c.Temperature = 0 },
			func(_ *Config, e *Environment) { e.GlobalBatch = 7 },
			func(_ *Config, e *Environment) { e.Lo = 2 },
		}
		switch name {
		case "moco":
			changes = append(changes,
				func(c *Config, _ *Environment) { c.Momentum = 1 },
				func(c *Config, _ *Environment) { c.MomentumSchedule = "linear" },
				func(c *Config, _ *Environment) { c.ShuffleGroups = 3 },
				func(c *Config, _ *Environment) { c.BankSize = 1 })
		case "mocov3":
			changes = append(changes, func(c *Config, _ *Environment) { c.Momentum = 1 }, func(c *Config, _ *Environment) { c.MomentumSchedule = "linear" })
			fallthrough
		case "simclr":
			if name == "simclr" {
				changes = append(changes,
					func(c *Config, _ *Environment) { c.Loss = "softmax" },
					func(c *Config, _ *Environment) { c.TauPlus = 1 },
					func(c *Config, _ *Environment) { c.Beta = 0 })
			}
			changes = append(changes, func(_ *Config, e *Environment) { e.VirtualRanks, e.Hi, e.GlobalBatch = 1, 1, 1 })
		}
		for _, change := range changes {
			c, e := good, env
			change(&c, &e)
			if _, err := New(c, e); err == nil {
				t.Errorf("%+v with %+v was accepted", c, e)
			}
		}
	}
}

// From the second time that a sample comes, the bank has a key of it. Masked, that key is no negative, in loss, gradient and figures; the
// entries are written either way.
func TestOwnKeysAreNoNegativesWhereTheyAreMasked(t *testing.T) {
	for _, loss := range []string{"infonce", "hard"} {
		losses := map[bool]float64{}
		for _, mask := range []bool{false, true} {
			c := Config{Name: "moco", Loss: loss, Temperature: testTau, Momentum: 0.9, ShuffleGroups: 1, BankSize: testBank, TauPlus: 0.1, Beta: 0.5, MaskOwnKeys: mask}
			m, twin := newTest(t, c), newTest(t, c)
			none := func(context.Context, ...string) error { return nil }
			var metrics Metrics
			for step := range uint64(2) {
				var err error
				if step == 1 { // the state as it is before the step
					for i, v := range twin.State() {
						tensor.Copy(v.Value, m.State()[i].Value)
					}
				}
				if metrics, err = m.Step(context.Background(), alone{testRanks}, step, testBatches(step), none); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := Definition(twin, testBatches(1))
			if e := math.Abs(metrics["loss"]/want - 1); e > 1e-5 {
				t.Errorf("loss %s, masked %v: %v, want %v", loss, mask, metrics["loss"], want)
			}
			if masked, told := metrics["bank.maskedMean"]; told != mask || mask && masked != 1 {
				t.Errorf("loss %s, masked %v: told %v, %v keys of each query", loss, mask, told, masked)
			}
			losses[mask] = metrics["loss"]
		}
		if math.Abs(losses[true]-losses[false]) < 1e-3 {
			t.Errorf("loss %s is %v masked and %v not: the case is too easy", loss, losses[true], losses[false])
		}
	}
}
