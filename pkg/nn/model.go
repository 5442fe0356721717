// Package nn holds models with explicit forward and backward passes: convolutional, fully connected and transformer encoders with heads.
//
// A Model's parameters lie in one Arena, its running batch-norm statistics in another; gradients, optimizer state and collectives use
// the parameters' layout. Every result is a function of the inputs and the parameters, to the bit within one numerics profile of
// pkg/simd, whatever the number of threads.
package nn

import (
	"fmt"
	"slices"

	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

// ProjectorPrefix and PredictorPrefix start the names of the heads' parameters; all others are the encoder's.
const (
	ProjectorPrefix = "projector."
	PredictorPrefix = "predictor."
)

// Model is an encoder with its heads, a projector and perhaps a predictor. A Model has one set of activations: one goroutine uses it at a time. Use Replica for more.
type Model struct {
	arch    architecture
	options Options

	params, running    *Arena
	encoder, projector sequence
	predictor          sequence
	all                sequence // encoder, projector and predictor
	norms              []*runningStats
	featureDim, outDim int

	pass        pass
	features, z result
	projected   result // what the predictor sees
	ready       bool   // a training forward has run that no backward has used yet
}

// New builds a model by name (see Names) and draws its parameters: convolutions by Kaiming's normal rule over the fan-out, linear
// layers as torch.nn.Linear, vision transformers as timm's, norms at the identity. Each draw depends on key, the parameter's name and the element's index. It
// returns ErrModel for a name that it does not know and ErrOptions for options out of range.
func New(name string, o Options, key keyed.Key) (*Model, error) {
	arch, err := find(name)
	if err != nil {
		return nil, fmt.Errorf("building a model: %w", err)
	}
	return arch.model(o, key)
}

// model builds a model of the architecture.
func (arch architecture) model(o Options, key keyed.Key) (*Model, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("building model %s: %w", arch.name, err)
	}
	if !arch.drops && o.Dropout != (Dropout{}) {
		return nil, fmt.Errorf("building model %s: %w: dropout, which this model does not have", arch.name, ErrOptions)
	}
	if arch.fits != nil {
		if err := arch.fits(o); err != nil {
			return nil, fmt.Errorf("building model %s: %w", arch.name, err)
		}
	}
	if o.BatchNormGroups == 0 {
		o.BatchNormGroups = 1
	}
	if o.Projector != nil {
		head := *o.Projector // the caller may change its own
		o.Projector = &head
	}
	if o.Predictor != nil {
		head := *o.Predictor
		o.Predictor = &head
	}
	m, b := assemble(arch, o)
	m.params, m.running = b.params.arena(key), b.running.arena(key)
	return m, nil
}

// assemble makes the layers, with empty activations and no values.
func assemble(arch architecture, o Options) (*Model, *builder) {
	m, b := &Model{arch: arch, options: o}, &builder{groupNorms: o.Norm == NormGroup}
	m.encoder, m.featureDim = arch.build(b, o)
	m.outDim = m.featureDim
	if o.Projector != nil {
		m.projector, m.outDim = b.head(ProjectorPrefix, o.Projector, m.featureDim)
	}
	if o.Predictor != nil {
		m.predictor, _ = b.head(PredictorPrefix, o.Predictor.head(m.outDim), m.outDim)
	}
	m.all = slices.Concat(m.encoder, m.projector, m.predictor)
	m.norms = b.norms
	return m, b
}

// Params is the parameters: encoder, projector, predictor, in this order. The values are live.
func (m *Model) Params() *Arena { return m.params }

// Running is the running mean and variance of every batch norm, live, in the order of the layers. Training does not change them: the
// trainer merges BatchStats of its micro-batches into them.
func (m *Model) Running() *Arena { return m.running }

// FeatureDim is the width of the features.
func (m *Model) FeatureDim() int { return m.featureDim }

// HasPredictor tells whether the embeddings are a predictor's output.
func (m *Model) HasPredictor() bool { return m.predictor != nil }

// OutDim is the width of the embeddings, with a predictor that of its output: FeatureDim without projector.
func (m *Model) OutDim() int { return m.outDim }

// Replica is a model over the same values, parameters and running statistics, with activations of its own: one for each goroutine.
func (m *Model) Replica() *Model {
	r, _ := assemble(m.arch, m.options)
	r.params, r.running = m.params, m.running
	return r
}

// Clone is a model with copies of the values: a momentum encoder, a snapshot.
func (m *Model) Clone() *Model {
	c, _ := assemble(m.arch, m.options)
	c.params, c.running = m.params.clone(), m.running.clone()
	return c
}

// CloneWithoutPredictor is a Clone that ends before the predictor: the target of what the predictor guesses at. Its Params and Running
// are laid out as the first part of this model's.
func (m *Model) CloneWithoutPredictor() *Model {
	o := m.options
	o.Predictor = nil
	c, b := assemble(m.arch, o)
	c.params, c.running = b.params.copied(m.params.Data), b.running.copied(m.running.Data)
	return c
}

// result keeps a tensor over a layer's output from one pass to the next, so that steady work allocates nothing.
type result struct {
	dense *tensor.Dense
	data  []float32
}

func (r *result) of(data []float32, n, width int) *tensor.Dense {
	if r.dense == nil || len(r.data) != len(data) || &r.data[0] != &data[0] {
		r.data = data
		r.dense = tensor.New(tensor.WithShape(n, width), tensor.WithBacking(data))
	}
	return r.dense
}
