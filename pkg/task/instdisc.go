package task

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/memorybank"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// instdisc is instance discrimination (Wu, Xiong, Yu and Lin, "Unsupervised feature learning via non-parametric instance discrimination",
// CVPR 2018): the bank has a slot for each sample, and an embedding has to find its own sample's slot among those of other samples. The
// slots are sharded over the virtual ranks by sample: queries travel to the slots, and only sums come back, also from the own slot.
type instdisc struct {
	config Config
	env    Environment
	width  int // d, of an embedding
	drawn  int // m, negatives of a step

	encoder *trainedBranch
	bank    []*memorybank.Samples
	form    instanceForm
}

// instanceForm is the form of the loss. figures of all shards, in order of virtual rank, are what the ranks share.
type instanceForm interface {
	// begin is called once a step, before compute.
	begin()
	// compute contrasts the queries, (B, d), with what is drawn of the i-th owned shard and returns its figures.
	compute(i int, queries []float32, keys objective.Drawn) (figures []float32)
	// merge turns the figures of all shards and the queries' cosines with their own slots into the loss.
	merge(cosines []float32, figures [][]float32) (c contrasted, finite bool)
	// calibrate tells whether compute and merge have to run again, since only now it is known how.
	calibrate() bool
	// share is what the i-th owned shard adds to the gradient of every query, (B, d), after merge and without the queries' own slots.
	share(i int) []float32
	// finish does what follows an update and adds figures of the form's own to the metrics.
	finish(step uint64, m Metrics)
	state() []Var
}

// contrasted is a merged loss. The gradient by query i is scale[i]·(sum of all shares − own[i]·own slot)/(τ·B).
type contrasted struct {
	loss, positive float64
	own, scale     []float32 // (B)
	staleness      float64
}

func newInstDisc(c Config, e Environment) (Task, error) {
	switch {
	case c.Temperature <= 0:
		return nil, fmt.Errorf("make task instdisc: temperature is %v, expected above 0", c.Temperature)
	case c.BankMomentum < 0 || c.BankMomentum >= 1:
		return nil, fmt.Errorf("make task instdisc: the bank's momentum is %v, expected in [0, 1)", c.BankMomentum)
	case c.Negatives < 1:
		return nil, fmt.Errorf("make task instdisc: %d negatives, expected at least 1", c.Negatives)
	case e.Samples < 2*uint64(e.VirtualRanks):
		return nil, fmt.Errorf("make task instdisc: a data set of %d samples for %d virtual ranks, expected at least 2 samples for each: add samples or lower the number of virtual ranks", e.Samples, e.VirtualRanks)
	}
	t := &instdisc{
		config: c, env: e, width: e.Model.OutDim(), drawn: int(min(uint64(c.Negatives), e.Samples)),
		encoder: newTrainedBranch(encoderName, e.Model, e, e.micro()),
	}
	for v := e.Lo; v < e.Hi; v++ {
		shard, err := memorybank.NewSamples(e.Samples, t.width, v, e.VirtualRanks)
		if err != nil {
			return nil, fmt.Errorf("make task instdisc: %w", err)
		}
		t.bank = append(t.bank, shard)
	}
	switch c.Loss {
	case "softmax":
		t.form = newInstanceSoftmax(t)
	case "nce":
		t.form = newInstanceNCE(t)
	default:
		return nil, fmt.Errorf("make task instdisc: loss %q, expected softmax or nce", c.Loss)
	}
	return t, nil
}

func (t *instdisc) State() []Var {
	vars := append(t.encoder.state(), t.form.state()...)
	for i, shard := range t.bank {
		for _, x := range shard.State() {
			vars = append(vars, Var{Name: "bank." + x.Name, Place: PerVirtualRank, VirtualRank: t.env.Lo + i, Value: x.Value})
		}
	}
	return vars
}

func (t *instdisc) Trained() []ParameterGroup { return []ParameterGroup{t.encoder.group()} }
func (t *instdisc) Restored() error           { return nil }
func (t *instdisc) Snapshot() Encoder         { return t.encoder.snapshot() }
func (t *instdisc) Views() []string           { return []string{"view1"} }

func (t *instdisc) BankBytes() uint64 {
	total := uint64(0)
	for _, shard := range t.bank {
		total += shard.Bytes()
	}
	return total
}

// Initialize fills the bank with the embeddings that the untrained model makes of the data, with batch norm as in training: from random slots the
// embeddings of all samples would be pulled together. A virtual rank makes those of its own slots, at least a micro-batch at a time.
func (t *instdisc) Initialize(ctx context.Context, pass Pass) error {
	first, _ := t.bank[0].Range()
	cuts, shards := []uint64{first}, []*memorybank.Samples(nil)
	for _, shard := range t.bank {
		first, end := shard.Range()
		batches := max((end-first)/max(uint64(t.env.micro()), 2), 1)
		for i := range batches {
			cuts, shards = append(cuts, first+(i+1)*(end-first)/batches), append(shards, shard)
		}
	}
	model := t.encoder.model.Replica()
	err := pass(ctx, cuts, func(i int, views *tensor.Dense) error {
		model.Draw(t.encoder.draws.For("initialize").At(cuts[i]))
		_, z := model.Forward(views, true)
		unit, n := z.Float32s(), int(cuts[i+1]-cuts[i])
		objective.Normalize(unit, unit, make([]float32, n), n, t.width)
		for k := range n {
			shards[i].Set(cuts[i]+uint64(k), unit[k*t.width:(k+1)*t.width])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill the bank: %w", err)
	}
	return nil
}

// Step contrasts the embeddings with the slots as they were, and moves the slots after the update.
func (t *instdisc) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	simd.Parallel(len(own), func(i int) { t.encoder.forward(step, i, own[i].Fields["view1"]) })
	rows, err := gather(ctx, g, t.env, t.width, t.encoder.unit)
	if err != nil {
		return nil, err
	}
	ids, err := gatherSamples(ctx, g, own)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBank)
	c, err := t.contrast(ctx, g, step, rows[0], ids)
	if err != nil {
		return nil, err
	}
	sums, err := t.share(ctx, g, ids, c)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBackward)
	t.backward(sums, c.scale)
	statistics, err := sumStatistics(ctx, g, t.encoder.branch)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.encoder.name); err != nil {
		return nil, err
	}
	t.env.enter(PhaseBank)
	observe(statistics, t.env.VirtualRanks, t.encoder.branch)
	t.remember(step, rows[0], ids)
	metrics := Metrics{"loss": c.loss, "positiveSimilarity": c.positive, "bank.stalenessMean": c.staleness}
	t.form.finish(step, metrics)
	return metrics, nil
}

// draw picks the negatives that all queries of a step share, m different slots, and sorts them by the owned shards that hold them. ids are the
// queries' samples.
func (t *instdisc) draw(step uint64, ids []uint64) []objective.Drawn {
	out := make([]objective.Drawn, len(t.bank))
	for i, shard := range t.bank {
		out[i] = objective.Drawn{Rows: shard.Slots(), D: t.width, Picked: make([]int32, 0, t.drawn/t.env.VirtualRanks)}
	}
	queries := map[uint64][]int{} // by sample: one may come twice
	for q, id := range ids {
		queries[id] = append(queries[id], q)
	}
	key := t.env.Key.For("instdisc.negatives").At(step)
	for j := range uint64(t.drawn) {
		id := key.Permute(j, t.env.Samples)
		i := memorybank.SampleShard(t.env.Samples, t.env.VirtualRanks, id) - t.env.Lo
		if i < 0 || i >= len(out) {
			continue
		}
		for _, q := range queries[id] {
			out[i].Hidden = append(out[i].Hidden, objective.Pair{Place: int32(len(out[i].Picked)), Query: int32(q)})
		}
		first, _ := t.bank[i].Range()
		out[i].Picked = append(out[i].Picked, int32(id-first))
	}
	return out
}

// contrast runs every query against the owned shards and merges what all shards say.
func (t *instdisc) contrast(ctx context.Context, g Group, step uint64, queries []float32, ids []uint64) (contrasted, error) {
	drawn := t.draw(step, ids)
	t.form.begin()
	c, err := t.measure(ctx, g, step, queries, ids, drawn)
	for err == nil && t.form.calibrate() {
		c, err = t.measure(ctx, g, step, queries, ids, drawn)
	}
	return c, err
}

// measure is one pass over the owned shards. The gathered rows hold, for each virtual rank, the form's figures, the cosines of the queries whose own
// slots it holds, and its mean staleness.
func (t *instdisc) measure(ctx context.Context, g Group, step uint64, queries []float32, ids []uint64, drawn []objective.Drawn) (contrasted, error) {
	own := make([]*tensor.Dense, len(t.bank))
	for i, shard := range t.bank {
		row := t.form.compute(i, queries, drawn[i])
		for q, id := range ids {
			cosine := float32(0)
			if shard.Holds(id) {
				cosine = simd.Dot(queries[q*t.width:(q+1)*t.width], shard.Slot(id))
			}
			row = append(row, cosine)
		}
		row = append(row, float32(shard.Staleness(step+1)))
		own[i] = tensor.New(tensor.WithShape(1, len(row)), tensor.WithBacking(row))
	}
	all, err := g.AllGather(ctx, own)
	if err != nil {
		return contrasted{}, fmt.Errorf("gather what the shards say: %w", err)
	}
	v, b := t.env.VirtualRanks, len(ids)
	figures, cosines, staleness := make([][]float32, v), make([]float32, b), 0.0
	for at := range figures {
		row := all.Float32s()[at*len(all.Float32s())/v : (at+1)*len(all.Float32s())/v]
		figures[at] = row[:len(row)-b-1]
		for q, id := range ids {
			if memorybank.SampleShard(t.env.Samples, v, id) == at {
				cosines[q] = row[len(row)-b-1+q]
			}
		}
		first, end := memorybank.SampleRange(t.env.Samples, at, v)
		staleness += float64(float64(row[len(row)-1]) * float64(end-first))
	}
	c, finite := t.form.merge(cosines, figures)
	if !finite {
		return contrasted{}, lossNotFinite(step)
	}
	c.staleness = staleness / float64(t.env.Samples)
	return c, nil
}

// share sums what the shards add to each query's gradient, (n, d) for each owned virtual rank. The query's own slot is added where it lies. The
// absolute weights of a query's terms are at most 2 together.
func (t *instdisc) share(ctx context.Context, g Group, ids []uint64, c contrasted) ([]*tensor.Dense, error) {
	shares := make([]*tensor.Dense, len(t.bank))
	for i, shard := range t.bank {
		o := t.form.share(i)
		for q, id := range ids {
			if shard.Holds(id) {
				simd.Axpy(o[q*t.width:(q+1)*t.width], -c.own[q], shard.Slot(id))
			}
		}
		shares[i] = tensor.New(tensor.WithShape(t.env.GlobalBatch, t.width), tensor.WithBacking(o))
	}
	sums, err := g.SumScatter(ctx, shares, 2)
	if err != nil {
		return nil, fmt.Errorf("sum the bank's part of the gradient: %w", err)
	}
	return sums, nil
}

// backward takes the gradient from the sums to the parameters, one virtual rank at a time.
func (t *instdisc) backward(sums []*tensor.Dense, scale []float32) {
	n, mean := t.env.micro(), 1/(float32(t.config.Temperature)*float32(t.env.GlobalBatch))
	simd.Parallel(len(sums), func(i int) {
		dq := t.encoder.gradient(i)
		copy(dq, sums[i].Float32s())
		for k := range n {
			simd.Scale(dq[k*t.width:(k+1)*t.width], mean*scale[(t.env.Lo+i)*n+k])
		}
		t.encoder.backward(i)
	})
}

// remember moves the slots that are held here towards the step's embeddings, in the order of their positions: a sample may come twice in a step, at
// the border of two epochs.
func (t *instdisc) remember(step uint64, embeddings []float32, ids []uint64) {
	for _, shard := range t.bank {
		for q, id := range ids {
			if shard.Holds(id) {
				shard.Update(id, embeddings[q*t.width:(q+1)*t.width], float32(t.config.BankMomentum), step+1)
			}
		}
	}
}
