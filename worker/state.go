package worker

import (
	"fmt"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/optim"
	"github.com/sslctl/sslctl/pkg/simd"
	"github.com/sslctl/sslctl/pkg/task"
	"gorgonia.org/tensor"
)

// state is every tensor that a run must keep: the task's and the optimizers'.
type state struct {
	vars   []task.Var
	groups []trainedGroup
}

// trainedGroup is a parameter group with the optimizer that moves it.
type trainedGroup struct {
	parameters   task.ParameterGroup
	optimizer    optim.Optimizer
	schedule     optim.Schedule
	learningRate float64
	norm         *optim.Norm   // of its gradient and parameters
	total        *tensor.Dense // the gradient summed over all virtual ranks, used again each step
}

// built is what a job's settings make.
type built struct {
	state     *state
	task      task.Task
	untrained task.Encoder // the encoder as it was initialised
}

// build makes the job's model, task and optimizer in their initial state. The task calls enter as it goes on to another phase of a step.
func build(job *jobspec.Job, key keyed.Key, src *source, g task.Group, enter func(phase string)) (*built, error) {
	spec := job.Spec
	model, err := newModel(job, key)
	if err != nil {
		return nil, err
	}
	untrained := task.NewEncoder(model.Clone())
	lo, hi := g.Owned()
	trained, err := task.New(task.Config{
		Name: spec.Task.Name, Temperature: spec.Task.Temperature, Momentum: spec.Task.Momentum, MomentumSchedule: spec.Task.MomentumSchedule,
		ShuffleGroups: spec.Task.ShuffleGroups, BankSize: spec.Task.Bank.Size, MaskOwnKeys: spec.Task.MaskOwnKeys,
		Loss: spec.Task.Loss, Negatives: spec.Task.Negatives, BankMomentum: spec.Task.BankMomentum,
		TauPlus: spec.Task.TauPlus, Beta: spec.Task.Beta, InitialBias: spec.Task.InitialBias,
		Redundancy: spec.Task.Redundancy, Invariance: spec.Task.Invariance, Variance: spec.Task.Variance, Covariance: spec.Task.Covariance,
	}, task.Environment{
		Model: model, VirtualRanks: spec.Training.VirtualRanks, Lo: lo, Hi: hi, GlobalBatch: spec.Training.GlobalBatch, TotalSteps: src.totalSteps,
		Samples: src.data.Len(), Key: key, Enter: enter,
	})
	if err != nil {
		return nil, err
	}
	s := &state{vars: trained.State()}
	for _, parameters := range trained.Trained() {
		settings := spec.Optimizer
		settings.ExcludeNormAndBias = settings.ExcludeNormAndBias || parameters.Plain
		optimizer, err := newOptimizer(settings, parameters.Parameters)
		if err != nil {
			return nil, err
		}
		schedule, err := newSchedule(spec.Optimizer, src.totalSteps)
		if err != nil {
			return nil, err
		}
		s.groups = append(s.groups, trainedGroup{
			parameters: parameters, optimizer: optimizer, schedule: schedule, learningRate: spec.Optimizer.LR, norm: optim.NewNorm(len(parameters.Parameters.Data)),
			total: tensor.New(tensor.WithShape(len(parameters.Parameters.Data)), tensor.Of(tensor.Float32)),
		})
		for _, slot := range optimizer.State() {
			s.vars = append(s.vars, task.Var{
				Name:  "optimizer." + parameters.Name + "." + slot.Name,
				Value: tensor.New(tensor.WithShape(len(slot.Data)), tensor.WithBacking(slot.Data)),
			})
		}
	}
	return &built{state: s, task: trained, untrained: untrained}, nil
}

// newModel makes the job's model with its initial parameters.
func newModel(job *jobspec.Job, key keyed.Key) (*nn.Model, error) {
	m := job.Spec.Model
	var predictor *nn.Predictor
	if p := job.Spec.Task.Predictor; job.Spec.Task.Has("predictor") {
		predictor = &nn.Predictor{Hidden: p.Hidden, BatchNorm: p.BatchNorm, Layers: p.Layers}
	}
	model, err := nn.New(m.Name, nn.Options{
		InH: m.Image.Height, InW: m.Image.Width, InC: m.Image.Channels,
		Stem:            m.Stem,
		Norm:            m.Norm,
		Patch:           m.Patch,
		Dropout:         nn.Dropout{Attention: m.Dropout.Attention, Projection: m.Dropout.Projection, Position: m.Dropout.Position, Path: m.Dropout.Path},
		Projector:       &nn.Projector{Hidden: m.Projector.Hidden, Out: m.Projector.Out, BatchNorm: m.Projector.BatchNorm, Layers: m.Projector.Layers},
		Predictor:       predictor,
		BatchNormGroups: job.Spec.Task.ShuffleGroups,
	}, key.For("init"))
	if err != nil {
		return nil, fmt.Errorf("spec.model: %w", err)
	}
	return model, nil
}

func newOptimizer(o jobspec.Optimizer, parameters *nn.Arena) (optim.Optimizer, error) {
	c := optim.Config{Name: o.Name, LR: o.LR, WeightDecay: o.WeightDecay, ExcludeNormAndBias: o.ExcludeNormAndBias, ClipNorm: o.ClipNorm}
	switch o.Name {
	case "sgd":
		c.Momentum, c.Nesterov = o.Momentum, o.Nesterov
	case "lars":
		c.Momentum, c.TrustCoefficient = o.Momentum, o.TrustCoefficient
	default:
		c.Beta1, c.Beta2, c.Eps = o.Beta1, o.Beta2, o.Eps
	}
	optimizer, err := optim.New(c, parameters)
	if err != nil {
		return nil, fmt.Errorf("spec.optimizer: %w", err)
	}
	return optimizer, nil
}

func newSchedule(o jobspec.Optimizer, totalSteps uint64) (optim.Schedule, error) {
	s := optim.Schedule{Name: o.Schedule, WarmupSteps: uint64(o.WarmupSteps), TotalSteps: totalSteps, MinLR: o.MinLR, Gamma: o.Gamma}
	for _, m := range o.Milestones {
		s.Milestones = append(s.Milestones, uint64(m))
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("spec.optimizer, for a run of %d steps: %w", totalSteps, err)
	}
	return s, nil
}

// group finds a parameter group by name. An unknown name is a bug of the task.
func (s *state) group(name string) trainedGroup {
	for _, g := range s.groups {
		if g.parameters.Name == name {
			return g
		}
	}
	panic(fmt.Sprintf("the task updates a parameter group %q that it has not declared", name))
}

// sums are the row sums of all tensors, for the digest.
func (s *state) sums() (replicated, own []checkpoint.TensorSum) {
	all := make([]checkpoint.TensorSum, len(s.vars))
	simd.Parallel(len(s.vars), func(i int) {
		v := s.vars[i]
		all[i] = checkpoint.SumOf(v.Name, holder(v), v.Value)
	})
	for i, v := range s.vars {
		if v.Place == task.Replicated {
			replicated = append(replicated, all[i])
		} else {
			own = append(own, all[i])
		}
	}
	return replicated, own
}

// holder is the virtual rank whose tensor v is, in the checkpoint's terms.
func holder(v task.Var) int {
	if v.Place == task.Replicated {
		return checkpoint.Replicated
	}
	return v.VirtualRank
}

// tensors are the tensors of one file of a checkpoint: those of a virtual rank, or the replicated ones.
func (s *state) tensors(virtualRank int) []checkpoint.Tensor {
	var out []checkpoint.Tensor
	for _, v := range s.vars {
		if holder(v) == virtualRank {
			out = append(out, checkpoint.Tensor{Name: v.Name, Value: v.Value})
		}
	}
	return out
}
