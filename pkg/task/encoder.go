package task

import (
	"fmt"
	"strings"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// batchNormMomentum is the weight of a new batch in the running statistics, as in PyTorch's BatchNorm.
const batchNormMomentum = 0.1

// encoder is a model as a part of a task's state, under a name.
type encoder struct {
	name  string
	model *nn.Model
}

func newEncoder(name string, m *nn.Model) *encoder { return &encoder{name, m} }

// state lists the parameters and the running statistics, "name.parameter" each.
func (e *encoder) state() []Var {
	var vars []Var
	for _, arena := range []*nn.Arena{e.model.Params(), e.model.Running()} {
		for _, p := range arena.Params {
			vars = append(vars, Var{Name: e.name + "." + p.Name, Value: p.Value})
		}
	}
	return vars
}

// observe moves the running statistics towards the mean over all V virtual ranks, given the sum over them.
func (e *encoder) observe(sum []float32, virtualRanks int) {
	running := e.model.Running().Data
	simd.Scale(running, 1-batchNormMomentum)
	simd.Axpy(running, batchNormMomentum/float32(virtualRanks), sum)
}

func (e *encoder) snapshot() Encoder { return &snapshot{model: e.model.Clone()} }

// NewEncoder makes an Encoder of a model that nothing else changes: a freshly initialised one, or one read from a checkpoint.
func NewEncoder(m *nn.Model) Encoder { return &snapshot{model: m} }

type snapshot struct {
	model  *nn.Model
	center []float32 // (d), taken from each embedding before it is normalised; nil: nothing is
}

func (s *snapshot) Features(images *tensor.Dense) (*tensor.Dense, error) {
	if err := s.check(images); err != nil {
		return nil, err
	}
	features, _ := s.model.Replica().Forward(images, false)
	return features, nil
}

func (s *snapshot) Embeddings(images *tensor.Dense) (*tensor.Dense, error) {
	if err := s.check(images); err != nil {
		return nil, err
	}
	_, z := s.model.Replica().Forward(images, false)
	n, d := z.Shape()[0], z.Shape()[1]
	if s.center != nil {
		for i := range n {
			simd.Axpy(z.Float32s()[i*d:(i+1)*d], -1, s.center)
		}
	}
	objective.Normalize(z.Float32s(), z.Float32s(), make([]float32, n), n, d)
	return z, nil
}

func (s *snapshot) check(images *tensor.Dense) error {
	if images.Dims() != 4 {
		return fmt.Errorf("encode images of shape %v: expected (n, height, width, channels)", images.Shape())
	}
	return nil
}

// Parameters are the encoder's parameters and running statistics without those of its heads, in PyTorch's layout.
func (s *snapshot) Parameters() []Named {
	var out []Named
	for _, arena := range []*nn.Arena{s.model.Params(), s.model.Running()} {
		for _, p := range arena.Params {
			if !strings.HasPrefix(p.Name, nn.ProjectorPrefix) && !strings.HasPrefix(p.Name, nn.PredictorPrefix) {
				out = append(out, Named{p.Name, nn.ToTorch(p)})
			}
		}
	}
	return out
}

// encoderName is the name under which every task keeps the encoder that it trains.
const encoderName = "encoder"

// LoadEncoder overwrites a model's parameters and running statistics with those of the trained encoder in a checkpoint, which read
// returns by name.
func LoadEncoder(m *nn.Model, read func(name string) (*tensor.Dense, error)) error {
	for _, v := range newEncoder(encoderName, m).state() {
		stored, err := read(v.Name)
		if err != nil {
			return err
		}
		if !stored.Shape().Eq(v.Value.Shape()) || stored.Dtype() != v.Value.Dtype() {
			return fmt.Errorf("load %s: it has type %v and shape %v, expected %v and %v", v.Name, stored.Dtype(), stored.Shape(), v.Value.Dtype(), v.Value.Shape())
		}
		copy(v.Value.Float32s(), stored.Float32s())
	}
	return nil
}
