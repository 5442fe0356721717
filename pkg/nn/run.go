package nn

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

// CheckBatch says whether Forward takes images of this shape: (B, InH, InW, InC) with B ≥ 1. In training of a model
// with batch norm, its groups must divide B and leave each group at least two samples, since a channel of one value has no variance. The error wraps ErrBatch.
func (m *Model) CheckBatch(shape tensor.Shape, train bool) error {
	o := &m.options
	if len(shape) != 4 || shape[0] < 1 || shape[1] != o.InH || shape[2] != o.InW || shape[3] != o.InC {
		return fmt.Errorf("%w: images are %v, %s expects (B, %d, %d, %d)", ErrBatch, shape.Clone(), m.arch.name, o.InH, o.InW, o.InC)
	}
	if n, g := shape[0], o.BatchNormGroups; train && len(m.norms) > 0 && (n%g != 0 || n/g < 2) {
		return fmt.Errorf("%w: %d samples in %d batch-norm groups, expected a multiple of %d with at least 2 samples a group", ErrBatch, n, g, g)
	}
	return nil
}

// Forward maps images (B, H, W, C) to features (B, FeatureDim) and embeddings (B, OutDim), the latter not normalised and
// through the predictor if there is one. Both are valid until the
// next Forward of this model. In training, batch norm uses the statistics of its group of the batch and x must stay unchanged until
// Backward; in evaluation it uses the running ones. Forward panics with the error of CheckBatch where that has one, and where x is not
// contiguous.
func (m *Model) Forward(x *tensor.Dense, train bool) (features, z *tensor.Dense) {
	if err := m.CheckBatch(x.Shape(), train); err != nil {
		panic(fmt.Errorf("forward: %w", err))
	}
	if x.RequiresIterator() || x.DataOrder().IsColMajor() {
		panic(fmt.Errorf("forward: %w: images are a strided view, expected contiguous rows (Materialize them)", ErrBatch))
	}
	n := x.Shape()[0]
	m.pass = pass{params: m.params.Data, running: m.running.Data, n: n, groups: m.options.BatchNormGroups, train: train, draws: m.pass.draws, buffers: m.pass.buffers}
	m.ready = train
	y := m.encoder.forward(&m.pass, x.Float32s())
	features = m.features.of(y, n, m.featureDim)
	y = m.projector.forward(&m.pass, y)
	projected := m.projected.of(y, n, m.outDim)
	if m.predictor == nil {
		return features, projected
	}
	return features, m.z.of(m.predictor.forward(&m.pass, y), n, m.outDim)
}

// Draw sets the key of dropout for the training passes that follow. A pass is a function of it: give each its own, by step and virtual rank, say. Sample i of
// a batch draws by i.
func (m *Model) Draw(key keyed.Key) { m.pass.draws = key }

// Projected is what the predictor saw in the last Forward, (B, OutDim), not normalised and valid until the next one; without a predictor
// it is the embeddings.
func (m *Model) Projected() *tensor.Dense { return m.projected.dense }

// Backward takes the gradient of a loss by the embeddings of the last Forward, which must have been a training one, and overwrites grad with
// the loss's gradient by the parameters, laid out as Params().Data, zero in the padding. Each training Forward serves one Backward. It panics
// where there was none, or where dz or grad have the wrong size.
func (m *Model) Backward(dz *tensor.Dense, grad []float32) { m.BackwardNotify(dz, grad, nil) }

// BackwardNotify is Backward that calls done, where it is not nil, as soon as a run grad[lo:hi] has its final values, padding
// included, so that a collective can begin on it while the layers before are computed. The runs come from the end of grad to its start, cover all
// of it once, and depend on the model alone. done is called from the goroutine of BackwardNotify, which waits for it.
func (m *Model) BackwardNotify(dz *tensor.Dense, grad []float32, done func(lo, hi int)) {
	if !m.ready {
		panic("backward: no training forward came before, or it was used already")
	}
	d := dz.Float32s()
	if len(d) != m.pass.n*m.outDim || dz.RequiresIterator() || len(grad) != len(m.params.Data) {
		panic(fmt.Sprintf("backward: gradient %v into %d elements, expected contiguous (%d, %d) into %d",
			dz.Shape().Clone(), len(grad), m.pass.n, m.outDim, len(m.params.Data)))
	}
	m.ready = false
	m.pass.grad, m.pass.unfinished, m.pass.layout, m.pass.done = grad, len(grad), m.params.Params, done
	own := m.pass.borrow(len(d)) // layers may overwrite their gradient, the caller's is not theirs
	copy(own, d)
	m.all.backward(&m.pass, own, false)
	m.pass.giveBack(own)
	m.pass.finish(0)
	m.pass.grad, m.pass.done = nil, nil
}

// BatchStats writes each batch norm's mean and unbiased variance of the last training Forward to dst, laid out as Running().Data, zero in
// the padding. With several batch-norm groups these are the means over the groups.
func (m *Model) BatchStats(dst []float32) {
	if len(dst) != len(m.running.Data) {
		panic(fmt.Sprintf("batch statistics: into %d elements, expected %d", len(dst), len(m.running.Data)))
	}
	for _, l := range m.norms {
		copy(l.mean.of(dst), l.batchMean)
		copy(l.variance.of(dst), l.batchVar)
	}
	m.running.clearPadding(dst)
}
