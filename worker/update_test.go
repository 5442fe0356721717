package worker

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/optim"
	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

func vector(x ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}

// twoGroups gives a trainer of two virtual ranks two parameter groups; grads sets the gradients of each on both of them.
func twoGroups(t *testing.T, tr *trainer) (parameters [2][]float32, slots [][]float32, grads func(first, second float32)) {
	t.Helper()
	var own [2][]*tensor.Dense
	for i, name := range []string{"encoder", "scale"} {
		values := []float32{1, 2, 3}
		arena := &nn.Arena{Data: values, Params: []nn.Param{{Name: "p", Shape: []int{3}, Len: 3, Value: vector(values...)}}}
		optimizer, err := optim.New(optim.Config{Name: "sgd", LR: 1, Momentum: 0.9}, arena)
		if err != nil {
			t.Fatal(err)
		}
		own[i] = []*tensor.Dense{vector(0, 0, 0), vector(0, 0, 0)}
		tr.state.groups = append(tr.state.groups, trainedGroup{
			parameters: task.ParameterGroup{Name: name, Parameters: arena, Grads: own[i]}, optimizer: optimizer,
			schedule: optim.Schedule{Name: "constant", TotalSteps: 10}, learningRate: 0.1, norm: optim.NewNorm(len(values)),
			total: vector(0, 0, 0),
		})
		parameters[i] = values
		for _, s := range optimizer.State() {
			slots = append(slots, s.Data)
		}
	}
	return parameters, slots, func(first, second float32) {
		for i, g := range []float32{first, second} {
			for _, d := range own[i] {
				d.Float32s()[1] = g
			}
		}
	}
}

// Whichever group has the NaN, no parameter and no slot of any optimizer moves, and the next step is the one that a run without the skipped
// one has.
func TestASkippedUpdateLeavesNoTraceInAnyGroup(t *testing.T) {
	nan := float32(math.NaN())
	for _, broken := range [][2]float32{{nan, 1}, {1, nan}, {1, float32(math.Inf(1))}} {
		tr, untouched := testTrainer(t), testTrainer(t)
		parameters, slots, grads := twoGroups(t, tr)
		want, wantSlots, wantGrads := twoGroups(t, untouched)
		check := func(when string) {
			t.Helper()
			for i := range parameters {
				if !slices.Equal(parameters[i], want[i]) {
					t.Errorf("gradients %v, %s: group %d is %v, want %v", broken, when, i, parameters[i], want[i])
				}
			}
			for i := range slots {
				if !slices.Equal(slots[i], wantSlots[i]) {
					t.Errorf("gradients %v, %s: optimizer slot %d is %v, want %v", broken, when, i, slots[i], wantSlots[i])
				}
			}
		}
		grads(broken[0], broken[1])
		if err := tr.update(t.Context(), "encoder", "scale"); !errors.Is(err, task.ErrNotFinite) {
			t.Fatalf("gradients %v: %v", broken, err)
		}
		check("skipped")
		grads(0.5, 0.25)
		wantGrads(0.5, 0.25)
		for _, each := range []*trainer{tr, untouched} {
			if err := each.update(t.Context(), "encoder", "scale"); err != nil {
				t.Fatal(err)
			}
		}
		if want[0][1] == 2 || want[1][1] == 2 {
			t.Fatalf("a sound update moves nothing: %v", want)
		}
		check("then a sound one")
	}
}
