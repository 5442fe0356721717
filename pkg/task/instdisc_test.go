package task_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/task"
	"golang.org/x/sync/errgroup"
	"gorgonia.org/tensor"
)

// A data set of 30 samples in steps of 20: two epochs are three steps, and the second step lies in both.
const (
	instanceSamples = 30
	instanceSteps   = 3
	instanceBatch   = 20
	instanceRanks   = 5
	instanceSide    = 8
	instanceWidth   = 8
	instanceTau     = 0.2
)

// sampleAt is the sample at a position of the stream.
func sampleAt(position uint64) uint64 {
	return keyed.New(2).At(position/instanceSamples).Permute(position%instanceSamples, instanceSamples)
}

// pixels are views of samples.
func pixels(ids []uint64, purpose string) *tensor.Dense {
	const size = instanceSide * instanceSide
	x := make([]float32, len(ids)*size)
	for i, id := range ids {
		key := keyed.New(9).For(purpose).At(id)
		for j := range size {
			x[i*size+j] = float32(key.Normal(uint64(j)))
		}
	}
	return tensor.New(tensor.WithShape(len(ids), instanceSide, instanceSide, 1), tensor.WithBacking(x))
}

// instanceBatches are the micro-batches of virtual ranks [lo, hi).
func instanceBatches(step uint64, lo, hi int) (own []task.Batch) {
	const n = instanceBatch / instanceRanks
	for v := lo; v < hi; v++ {
		b := task.Batch{VirtualRank: v}
		for i := range n {
			b.Positions = append(b.Positions, step*instanceBatch+uint64(v*n+i))
			b.Samples = append(b.Samples, sampleAt(b.Positions[i]))
		}
		b.Fields = map[string]*tensor.Dense{"view1": pixels(b.Samples, fmt.Sprint("view of step ", step))}
		own = append(own, b)
	}
	return own
}

func firstPass(_ context.Context, cuts []uint64, use func(int, *tensor.Dense) error) error {
	for i := range len(cuts) - 1 {
		var ids []uint64
		for id := cuts[i]; id < cuts[i+1]; id++ {
			ids = append(ids, id)
		}
		if err := use(i, pixels(ids, "pass")); err != nil {
			return err
		}
	}
	return nil
}

func instanceModel(t testing.TB) *nn.Model {
	t.Helper()
	m, err := nn.New("mlp", nn.Options{InH: instanceSide, InW: instanceSide, InC: 1, Projector: &nn.Projector{Hidden: 16, Out: instanceWidth, BatchNorm: true}}, keyed.New(3))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newInstance(t testing.TB, loss string, lo, hi int) task.Task {
	t.Helper()
	made, err := task.New(task.Config{Name: "instdisc", Loss: loss, Temperature: instanceTau, Negatives: 17, BankMomentum: 0.5},
		task.Environment{Model: instanceModel(t), VirtualRanks: instanceRanks, Lo: lo, Hi: hi, GlobalBatch: instanceBatch, Samples: instanceSamples, Key: keyed.New(3)})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// instanceRun is what a run leaves.
type instanceRun struct {
	tensors  map[string]*tensor.Dense // by name, with @v for those of a virtual rank
	losses   []float64
	chance   []float64
	z        []float64
	bytes    []uint64    // of the bank, by rank
	owned    []int       // virtual ranks, by rank
	models   []*nn.Model // the encoder before each step
	gradient []float32   // of the first step, summed
}

func stateName(v task.Var) string {
	if v.Place == task.PerVirtualRank {
		return fmt.Sprint(v.Name, "@", v.VirtualRank)
	}
	return v.Name
}

// trainInstances runs steps [first, last) on a ring of some workers, from tensors or, where those are nil, from the start.
func trainInstances(t *testing.T, loss string, workers int, first, last uint64, from map[string]*tensor.Dense) instanceRun {
	t.Helper()
	network := &allreducetest.Network{}
	out := instanceRun{tensors: map[string]*tensor.Dense{}, bytes: make([]uint64, workers), owned: make([]int, workers)}
	states := make([][]task.Var, workers)
	group, ctx := errgroup.WithContext(t.Context())
	for rank := range workers {
		ring, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: workers, VirtualRanks: instanceRanks, JobUID: "1", Generation: 1, DetectWithin: 10 * time.Second}, network.Transport(rank))
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := ring.Owned()
		made := newInstance(t, loss, lo, hi)
		states[rank], out.owned[rank] = made.State(), hi-lo
		group.Go(func() error {
			defer ring.Close()
			if err := ring.Join(ctx); err != nil {
				return err
			}
			if from == nil {
				if err := made.(task.Initializer).Initialize(ctx, firstPass); err != nil {
					return err
				}
			} else {
				for _, v := range states[rank] {
					if err := tensor.Copy(v.Value, from[stateName(v)]); err != nil {
						return err
					}
				}
				if err := made.Restored(); err != nil {
					return err
				}
			}
			trained := made.Trained()[0]
			for step := first; step < last; step++ {
				ring.SetStep(step)
				if rank == 0 {
					model := instanceModel(t)
					copy(model.Params().Data, trained.Parameters.Data)
					out.models = append(out.models, model)
				}
				metrics, err := made.Step(ctx, ring, step, instanceBatches(step, lo, hi), func(ctx context.Context, _ ...string) error {
					total, err := ring.Sum(ctx, trained.Grads)
					if err != nil {
						return err
					}
					if rank == 0 && step == first {
						out.gradient = slices.Clone(total.Float32s())
					}
					for i, g := range total.Float32s() {
						trained.Parameters.Data[i] -= float32(0.1 * g)
					}
					return nil
				})
				if err != nil {
					return err
				}
				if rank == 0 {
					out.chance = append(out.chance, metrics["chanceLoss"])
					out.losses, out.z = append(out.losses, metrics["loss"]), append(out.z, metrics["z"])
				}
			}
			out.bytes[rank] = made.BankBytes()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for rank, vars := range states {
		for _, v := range vars {
			if known, ok := out.tensors[stateName(v)]; ok && fmt.Sprint(known.Data()) != fmt.Sprint(v.Value.Data()) {
				t.Errorf("rank %d holds another %s than the ranks before it", rank, v.Name)
			}
			out.tensors[stateName(v)] = v.Value
		}
	}
	return out
}

// slots are all slots and their steps, in order of sample.
func (r instanceRun) slots() (slots []float32, steps []uint64) {
	for v := range instanceRanks {
		slots = append(slots, r.tensors[fmt.Sprint("bank.slots@", v)].Float32s()...)
		steps = append(steps, r.tensors[fmt.Sprint("bank.steps@", v)].Uint64s()...)
	}
	return slots, steps
}

func unitRows(m *nn.Model, views *tensor.Dense) []float32 {
	_, z := m.Forward(views, true)
	n := views.Shape()[0]
	out := make([]float32, n*instanceWidth)
	objective.Normalize(out, z.Float32s(), make([]float32, n), n, instanceWidth)
	return out
}

// slotReference is the bank in one process: one array, moved in the order of the stream.
func slotReference(t *testing.T, models []*nn.Model) (slots []float32, steps []uint64) {
	initial, steps := instanceModel(t), make([]uint64, instanceSamples)
	for id := uint64(0); id < instanceSamples; id += 6 { // what a virtual rank fills at a time: 6 slots make one micro-batch of 4 and a rest
		slots = append(slots, unitRows(initial, pixels([]uint64{id, id + 1, id + 2, id + 3, id + 4, id + 5}, "pass"))...)
	}
	for step, model := range models {
		for _, b := range instanceBatches(uint64(step), 0, instanceRanks) {
			unit := unitRows(model, b.Fields["view1"])
			for i, id := range b.Samples {
				slot := slots[id*instanceWidth : (id+1)*instanceWidth]
				for j := range slot {
					slot[j] = 0.5*slot[j] + 0.5*unit[i*instanceWidth+j]
				}
				objective.Normalize(slot, slot, make([]float32, 1), 1, instanceWidth)
				steps[id] = uint64(step) + 1
			}
		}
	}
	return slots, steps
}

func TestSlotsEqualAOneProcessReferenceToTheBit(t *testing.T) {
	twice := map[uint64]int{}
	for _, b := range instanceBatches(1, 0, instanceRanks) {
		for _, id := range b.Samples {
			twice[id]++
		}
	}
	if len(twice) == instanceBatch {
		t.Fatal("no sample comes twice in the second step; the case is too easy")
	}
	for _, loss := range []string{"softmax", "nce"} {
		one := trainInstances(t, loss, 1, 0, instanceSteps, nil)
		for _, workers := range []int{1, 2, 3, 5} {
			got := one
			if workers > 1 {
				got = trainInstances(t, loss, workers, 0, instanceSteps, nil)
			}
			slots, steps := got.slots()
			wantSlots, wantSteps := slotReference(t, got.models)
			if !slices.Equal(slots, wantSlots) || !slices.Equal(steps, wantSteps) {
				t.Errorf("%s, %d workers: the slots differ from the reference's", loss, workers)
			}
			for name, x := range one.tensors {
				if fmt.Sprint(got.tensors[name].Data()) != fmt.Sprint(x.Data()) {
					t.Errorf("%s, %d workers: %s differs from that of one worker", loss, workers, name)
				}
			}
			if fmt.Sprint(got.losses, got.z) != fmt.Sprint(one.losses, one.z) {
				t.Errorf("%s, %d workers: losses %v and Z %v, one worker %v and %v", loss, workers, got.losses, got.z, one.losses, one.z)
			}
			if want := []float64{0, 0, keyed.Log(18)}; loss == "softmax" && !slices.Equal(got.chance, want) {
				t.Errorf("the losses of chance are %v, want %v: one for steps that begin in the second pass", got.chance, want)
			}
			// A slot takes its vector and 8 bytes of provenance; each virtual rank has 6 of the 30.
			for rank, bytes := range got.bytes {
				if share := uint64(got.owned[rank]) * 6 * (4*instanceWidth + 8); bytes != share || got.owned[rank] > (instanceRanks+workers-1)/workers {
					t.Errorf("%s, rank %d of %d holds %d bytes of the bank, its share is %d", loss, rank, workers, bytes, share)
				}
			}
		}
	}
}

func TestARunGoesOnWithOtherWorkers(t *testing.T) {
	for _, loss := range []string{"softmax", "nce"} {
		want := trainInstances(t, loss, 1, 0, instanceSteps, nil)
		got := trainInstances(t, loss, 3, 1, instanceSteps, trainInstances(t, loss, 2, 0, 1, nil).tensors)
		for name, x := range want.tensors {
			if fmt.Sprint(got.tensors[name].Data()) != fmt.Sprint(x.Data()) {
				t.Errorf("%s: %s differs from that of a run of one worker", loss, name)
			}
		}
	}
}

// instanceDefinition is the loss of the first step, its gradient and log Z, with all scores in memory, in float64 down to the network's output.
func instanceDefinition(t *testing.T, loss string) (value, logZ float64, gradient []float64) {
	model := instanceModel(t)
	slots, _ := slotReference(t, nil)
	const drawn = 17
	row := func(id uint64) []float32 { return slots[id*instanceWidth : (id+1)*instanceWidth] }
	negatives := make([]uint64, drawn)
	for j := range negatives {
		negatives[j] = keyed.New(3).For("instdisc.negatives").At(0).Permute(uint64(j), instanceSamples)
	}
	score := func(q []float64, id uint64) (s float64) {
		for j, x := range row(id) {
			s += q[j] * float64(x) / instanceTau
		}
		return s
	}
	type query struct {
		id   uint64
		unit []float64
		norm float64
	}
	batches := instanceBatches(0, 0, instanceRanks)
	queries := make([][]query, len(batches))
	mean := 0.0
	for v, b := range batches {
		_, z := model.Replica().Forward(b.Fields["view1"], true)
		for i, id := range b.Samples {
			q := query{id: id, unit: make([]float64, instanceWidth)}
			for j, x := range z.Float32s()[i*instanceWidth : (i+1)*instanceWidth] {
				q.unit[j] = float64(x)
				q.norm += float64(x) * float64(x)
			}
			q.norm = math.Sqrt(q.norm)
			for j := range q.unit {
				q.unit[j] /= q.norm
			}
			queries[v] = append(queries[v], q)
			for _, other := range append([]uint64{id}, negatives...) {
				mean += math.Exp(score(q.unit, other)) / (instanceBatch * (drawn + 1))
			}
		}
	}
	z, noise := mean*instanceSamples, float64(drawn)/instanceSamples
	gradient = make([]float64, len(model.Params().Data))
	for v, b := range batches {
		dz := make([]float32, len(b.Samples)*instanceWidth)
		for i, q := range queries[v] {
			weights := map[uint64]float64{}
			if loss == "nce" {
				p := math.Exp(score(q.unit, q.id)) / z
				value -= math.Log(p/(p+noise)) / instanceBatch
				weights[q.id] -= noise / (p + noise)
				for _, id := range negatives {
					p := math.Exp(score(q.unit, id)) / z
					value -= math.Log(noise/(p+noise)) / instanceBatch
					weights[id] += p / (p + noise)
				}
			} else {
				sum := math.Exp(score(q.unit, q.id))
				for _, id := range negatives {
					if id != q.id {
						sum += math.Exp(score(q.unit, id))
					}
				}
				value += (math.Log(sum) - score(q.unit, q.id)) / instanceBatch
				for _, id := range negatives {
					weights[id] = math.Exp(score(q.unit, id)) / sum
				}
				weights[q.id] = math.Exp(score(q.unit, q.id))/sum - 1
			}
			g, along := make([]float64, instanceWidth), 0.0
			for id, w := range weights {
				for j, x := range row(id) {
					g[j] += w * float64(x) / instanceTau / instanceBatch
				}
			}
			for j := range g {
				along += g[j] * q.unit[j]
			}
			for j := range g {
				dz[i*instanceWidth+j] = float32((g[j] - along*q.unit[j]) / q.norm)
			}
		}
		one, replica := make([]float32, len(gradient)), model.Replica()
		replica.Forward(b.Fields["view1"], true)
		replica.Backward(tensor.New(tensor.WithShape(len(b.Samples), instanceWidth), tensor.WithBacking(dz)), one)
		for j, x := range one {
			gradient[j] += float64(x)
		}
	}
	return value, math.Log(z), gradient
}

func TestInstanceDiscriminationByItsDefinition(t *testing.T) {
	for _, loss := range []string{"softmax", "nce"} {
		got := trainInstances(t, loss, 2, 0, 2, nil)
		want, logZ, gradient := instanceDefinition(t, loss)
		if e := math.Abs(got.losses[0]-want) / want; e > 1e-5 {
			t.Errorf("%s: the first loss is %v, want %v", loss, got.losses[0], want)
		}
		worst, size := 0.0, 0.0
		for i, g := range gradient {
			worst, size = max(worst, math.Abs(float64(got.gradient[i])-g)), max(size, math.Abs(g))
		}
		if worst/size > 2e-5 {
			t.Errorf("%s: the first gradient is off by %.2e of its largest element", loss, worst/size)
		}
		if loss != "nce" {
			continue
		}
		if e := math.Abs(math.Log(got.z[0]) - logZ); e > 1e-5 {
			t.Errorf("the first step goes by log Z = %v, want that of its own scores, %v", math.Log(got.z[0]), logZ)
		}
		// The running mean after one step is Z of that step, whatever share of it is kept.
		if e := math.Abs(math.Log(got.z[1]) - logZ); e > 1e-5 {
			t.Errorf("the second step goes by log Z = %v, want the mean after the first, %v", math.Log(got.z[1]), logZ)
		}
	}
}

// aloneRing is a ring of one worker.
func aloneRing(t *testing.T) *allreduce.Group {
	t.Helper()
	ring, err := allreduce.NewGroup(allreduce.Config{World: 1, VirtualRanks: instanceRanks, JobUID: "1", Generation: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestASkippedStepLeavesTheSlotsAlone(t *testing.T) {
	for _, loss := range []string{"softmax", "nce"} {
		made, ring := newInstance(t, loss, 0, instanceRanks), aloneRing(t)
		if err := made.(task.Initializer).Initialize(t.Context(), firstPass); err != nil {
			t.Fatal(err)
		}
		state := func() string {
			var text strings.Builder
			for _, v := range made.State() {
				fmt.Fprint(&text, stateName(v), v.Value.Data())
			}
			return text.String()
		}
		before := state()
		poisoned := instanceBatches(0, 0, instanceRanks)
		poisoned[3].Fields["view1"].Float32s()[7] = float32(math.NaN())
		if _, err := made.Step(t.Context(), ring, 0, poisoned, nil); !errors.Is(err, task.ErrNotFinite) {
			t.Errorf("%s: a NaN in a view gave %v, want ErrNotFinite", loss, err)
		}
		overflow := func(context.Context, ...string) error { return task.ErrNotFinite }
		if _, err := made.Step(t.Context(), ring, 0, instanceBatches(0, 0, instanceRanks), overflow); !errors.Is(err, task.ErrNotFinite) {
			t.Errorf("%s: a gradient that is not finite gave %v", loss, err)
		}
		if state() != before {
			t.Errorf("%s: the state has changed", loss)
		}
		if _, err := made.Step(t.Context(), ring, 0, instanceBatches(0, 0, instanceRanks), func(context.Context, ...string) error { return nil }); err != nil {
			t.Error(err)
		}
		if state() == before {
			t.Errorf("%s: a step that was not skipped changed nothing", loss)
		}
	}
}

func TestAnInstanceStepNamesItsPhases(t *testing.T) {
	var phases []string
	made, err := task.New(task.Config{Name: "instdisc", Loss: "softmax", Temperature: instanceTau, Negatives: 17},
		task.Environment{Model: instanceModel(t), VirtualRanks: instanceRanks, Hi: instanceRanks, GlobalBatch: instanceBatch, Samples: instanceSamples, Key: keyed.New(3), Enter: func(phase string) { phases = append(phases, phase) }})
	if err != nil {
		t.Fatal(err)
	}
	ring := aloneRing(t)
	if _, err := made.Step(t.Context(), ring, 0, instanceBatches(0, 0, instanceRanks), func(context.Context, ...string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{task.PhaseForward, task.PhaseBank, task.PhaseBackward, task.PhaseBank}; !slices.Equal(phases, want) {
		t.Errorf("the phases are %v, want %v", phases, want)
	}
}

func TestUnusableInstanceSettingsAreRefused(t *testing.T) {
	good := task.Config{Name: "instdisc", Loss: "softmax", Temperature: 0.2, Negatives: 8, BankMomentum: 0.5}
	env := task.Environment{Model: instanceModel(t), VirtualRanks: 4, Hi: 4, GlobalBatch: 8, Samples: 8}
	if _, err := task.New(good, env); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*task.Config, *task.Environment){
		func(c *task.Config, _ *task.Environment) { c.Loss = "infonce" },
		func(c *task.Config, _ *task.Environment) { c.Temperature = 0 },
		func(c *task.Config, _ *task.Environment) { c.Negatives = 0 },
		func(c *task.Config, _ *task.Environment) { c.BankMomentum = 1 },
		func(_ *task.Config, e *task.Environment) { e.Samples = 7 },
	} {
		c, e := good, env
		change(&c, &e)
		if _, err := task.New(c, e); err == nil {
			t.Errorf("%+v with %d samples was accepted", c, e.Samples)
		}
	}
}
