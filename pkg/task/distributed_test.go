package task_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/task"
	"golang.org/x/sync/errgroup"
	"gorgonia.org/tensor"
)

const (
	ranks, batch, side = 5, 20, 8
	steps              = 2
)

// cases are a small form of every task; temperature as that of the definitions.
var cases = []task.Config{
	{Name: "moco", Loss: "infonce", Temperature: 0.2, Momentum: 0.9, ShuffleGroups: 1, BankSize: 45},
	{Name: "moco", Loss: "infonce", Temperature: 0.2, Momentum: 0.9, ShuffleGroups: 1, BankSize: 45, MaskOwnKeys: true},
	{Name: "moco", Loss: "debiased", Temperature: 0.2, Momentum: 0.9, ShuffleGroups: 1, BankSize: 45, TauPlus: 0.1},
	{Name: "moco", Loss: "hard", Temperature: 0.2, Momentum: 0.9, ShuffleGroups: 1, BankSize: 45, TauPlus: 0.1, Beta: 0.5, MaskOwnKeys: true},
	{Name: "simclr", Loss: "ntxent", Temperature: 0.2},
	{Name: "simclr", Loss: "dcl", Temperature: 0.2},
	{Name: "simclr", Loss: "debiased", Temperature: 0.2, TauPlus: 0.1},
	{Name: "simclr", Loss: "hard", Temperature: 0.2, TauPlus: 0.1, Beta: 0.5},
	{Name: "simclr", Loss: "supcon", Temperature: 0.2},
	{Name: "simclr", Loss: "crossview", Temperature: 0.2},
	{Name: "simclr", Loss: "sigmoid", Temperature: 0.2, InitialBias: -3},
	{Name: "mocov3", Temperature: 0.2, Momentum: 0.9},
	{Name: "byol", Momentum: 0.9},
	{Name: "simsiam"},
	{Name: "barlowtwins", Redundancy: 0.05},
	{Name: "vicreg", Invariance: 25, Variance: 25, Covariance: 1},
}

// outcome is all that a run leaves: losses and every tensor of every virtual rank, as its bits.
type outcome struct {
	losses   [steps]float64
	tensors  map[string]string
	gradient []float32 // of the first step, summed
}

// leg is a part of a run: steps [from, to), from the state that another leg has left or, where that is nil, from the beginning.
type leg struct {
	from, to uint64
	state    map[string]string
}

// whole is a run of all steps.
var whole = leg{to: steps}

// run trains on a ring of some workers in this process.
func run(t *testing.T, c task.Config, workers int, l leg) outcome {
	t.Helper()
	network := &allreducetest.Network{}
	all := make([]outcome, workers)
	group, ctx := errgroup.WithContext(t.Context())
	for rank := range workers {
		group.Go(func() error {
			ring, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: workers, VirtualRanks: ranks, JobUID: "1", Generation: 1, DetectWithin: time.Minute}, network.Transport(rank))
			if err != nil {
				return err
			}
			defer ring.Close()
			if err := ring.Join(ctx); err != nil {
				return err
			}
			return trainOn(ctx, c, ring, l, &all[rank])
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	merged := all[0]
	for rank, o := range all[1:] {
		if o.losses != merged.losses {
			t.Errorf("rank %d saw losses %v, rank 0 %v", rank+1, o.losses, merged.losses)
		}
		for name, value := range o.tensors {
			if known, ok := merged.tensors[name]; ok && known != value {
				t.Errorf("ranks 0 and %d hold different %s", rank+1, name)
			}
			merged.tensors[name] = value
		}
	}
	return merged
}

func trainOn(ctx context.Context, c task.Config, ring *allreduce.Group, l leg, out *outcome) error {
	lo, hi := ring.Owned()
	made, err := build(c, lo, hi)
	if err != nil {
		return err
	}
	if err := restore(made, l.state); err != nil {
		return err
	}
	for step := l.from; step < l.to; step++ {
		ring.SetStep(step)
		metrics, err := made.Step(ctx, ring, step, views(step, lo, hi), func(ctx context.Context, names ...string) error {
			for at, trained := range made.Trained() {
				if names[at] != trained.Name {
					return fmt.Errorf("update of %v, the task trains %s", names, trained.Name)
				}
				total, err := ring.Sum(ctx, trained.Grads)
				if err != nil {
					return err
				}
				if step == 0 {
					out.gradient = append(out.gradient, total.Float32s()...)
				}
				for i, g := range total.Float32s() {
					trained.Parameters.Data[i] -= float32(0.1 * g)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		out.losses[step] = metrics["loss"]
	}
	out.tensors = map[string]string{}
	for _, v := range made.State() {
		bits, err := binary.Append(nil, binary.LittleEndian, v.Value.Data())
		if err != nil {
			return err
		}
		out.tensors[key(v)] = string(bits)
	}
	return nil
}

// key tells a tensor from all others of all virtual ranks.
func key(v task.Var) string {
	if v.Place == task.PerVirtualRank {
		return fmt.Sprint(v.Name, "@", v.VirtualRank)
	}
	return v.Name
}

// restore overwrites the state of a task, as a checkpoint does.
func restore(t task.Task, state map[string]string) error {
	if state == nil {
		return nil
	}
	for _, v := range t.State() {
		if _, err := binary.Decode([]byte(state[key(v)]), binary.LittleEndian, v.Value.Data()); err != nil {
			return fmt.Errorf("restore %s: %w", key(v), err)
		}
	}
	return t.Restored()
}

func build(c task.Config, lo, hi int) (task.Task, error) {
	key := keyed.New(3)
	options := nn.Options{InH: side, InW: side, InC: 1, Projector: &nn.Projector{Hidden: 16, Out: 8, BatchNorm: true}}
	if slices.Contains([]string{"mocov3", "byol", "simsiam"}, c.Name) {
		options.Predictor = &nn.Predictor{Hidden: 12, BatchNorm: true}
	}
	model, err := nn.New("resnet-tiny", options, key)
	if err != nil {
		return nil, err
	}
	return task.New(c, task.Environment{Model: model, VirtualRanks: ranks, Lo: lo, Hi: hi, GlobalBatch: batch, Key: key})
}

// views are the micro-batches of virtual ranks [lo, hi).
func views(step uint64, lo, hi int) []task.Batch {
	var out []task.Batch
	n := batch / ranks
	for v := lo; v < hi; v++ {
		b := task.Batch{VirtualRank: v, Fields: map[string]*tensor.Dense{}}
		for i := range n {
			b.Positions = append(b.Positions, step*batch+uint64(v*n+i))
			b.Samples = append(b.Samples, (step*7+uint64(v*n+i))%13) // some come again
			b.Labels = append(b.Labels, (step+uint64(v*n+i)*7)%3)
		}
		for _, name := range []string{"view1", "view2"} {
			pixels := make([]float32, n*side*side)
			for i := range pixels {
				pixels[i] = float32(keyed.New(9).For(name).At(step, uint64(v)).Normal(uint64(i)))
			}
			b.Fields[name] = tensor.New(tensor.WithShape(n, side, side, 1), tensor.WithBacking(pixels))
		}
		out = append(out, b)
	}
	return out
}

// The central promise in small: any number of workers ends with the same bits in every tensor, bank shards included, also where others go on
// from the state alone; and the first gradient, summed in fixed point, is the one of the definition in float64.
func TestAnyNumberOfWorkersGivesTheSameBits(t *testing.T) {
	for _, c := range cases {
		t.Run(fmt.Sprint(c.Name, c.Loss, c.MaskOwnKeys), func(t *testing.T) {
			want := run(t, c, 1, whole)
			made, err := build(c, 0, ranks)
			if err != nil {
				t.Fatal(err)
			}
			againstTheDefinition(t, made, want)
			for _, workers := range []int{2, 3, 5} {
				sameBits(t, fmt.Sprint(workers, " workers"), run(t, c, workers, whole), want)
			}
			half := run(t, c, 2, leg{to: 1})
			rest := run(t, c, 3, leg{from: 1, to: steps, state: half.tensors})
			rest.losses[0], rest.gradient = half.losses[0], half.gradient
			sameBits(t, "2 workers, then 3 from what those have left", rest, want)
		})
	}
}

func againstTheDefinition(t *testing.T, made task.Task, got outcome) {
	t.Helper()
	if len(got.tensors) < 30 {
		t.Fatalf("the state has %d tensors; something is missing", len(got.tensors))
	}
	wantLoss, wantGradient := task.Definition(made, views(0, 0, ranks))
	if e := math.Abs((got.losses[0] - wantLoss) / wantLoss); e > 1e-5 {
		t.Errorf("the first loss is %v, want %v", got.losses[0], wantLoss)
	}
	worst, size := 0.0, 0.0
	for i, g := range wantGradient {
		worst, size = max(worst, math.Abs(float64(got.gradient[i])-g)), max(size, math.Abs(g))
	}
	if worst/size > 1e-5 {
		t.Errorf("the first gradient is off by %.2e of its largest element", worst/size)
	}
}

func sameBits(t *testing.T, how string, got, want outcome) {
	t.Helper()
	if got.losses != want.losses {
		t.Errorf("%s: losses %v, one worker %v", how, got.losses, want.losses)
	}
	for i, g := range got.gradient {
		if g != want.gradient[i] {
			t.Fatalf("%s: gradient element %d is %v, with one worker %v", how, i, g, want.gradient[i])
		}
	}
	for name, value := range want.tensors {
		if got.tensors[name] != value {
			t.Errorf("%s: %s differs", how, name)
		}
	}
	if len(got.tensors) != len(want.tensors) {
		t.Errorf("%s: %d tensors, one worker holds %d", how, len(got.tensors), len(want.tensors))
	}
}
