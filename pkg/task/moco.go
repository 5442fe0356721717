package task

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/memorybank"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// moco is momentum contrast (He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020): queries from
// a trained encoder are contrasted with a queue of keys from its moving average. The queue is sharded over the virtual ranks: queries
// travel to the keys, and only sums come back.
type moco struct {
	config Config
	env    Environment
	width  int // d, of an embedding

	query    *trainedBranch
	key      *branch
	follower *follower // lets key follow query
	bank     []*memorybank.Shard
	form     bankForm        // of the loss
	shuffled []*tensor.Dense // each owned virtual rank's second views in the order in which the key encoder sees them
}

func newMoCo(c Config, e Environment) (Task, error) {
	n := e.micro()
	switch {
	case c.Temperature <= 0:
		return nil, fmt.Errorf("make task moco: temperature is %v, expected above 0", c.Temperature)
	case c.ShuffleGroups < 1 || n%c.ShuffleGroups != 0:
		return nil, fmt.Errorf("make task moco: %d shuffle groups for micro-batches of %d, expected a divisor", c.ShuffleGroups, n)
	}
	t := &moco{
		config: c, env: e, width: e.Model.OutDim(), shuffled: make([]*tensor.Dense, e.owned()),
		key: newBranch(momentumName, e.Model.Clone(), e, n), query: newTrainedBranch(encoderName, e.Model, e, n),
	}
	var err error
	if t.follower, err = newFollower(c, e, t.key, t.query); err != nil {
		return nil, err
	}
	if t.form, err = newBankForm(c, e.owned(), e.GlobalBatch, t.width); err != nil {
		return nil, err
	}
	for v := e.Lo; v < e.Hi; v++ {
		shard, err := memorybank.NewShard(c.BankSize, t.width, v, e.VirtualRanks, e.Key.For("moco.bank"))
		if err != nil {
			return nil, fmt.Errorf("make task moco: %w", err)
		}
		if c.MaskOwnKeys {
			shard.TrackSamples()
		}
		t.bank = append(t.bank, shard)
	}
	return t, nil
}

func (t *moco) State() []Var {
	vars := append(t.query.state(), t.key.state()...)
	for i, shard := range t.bank {
		for _, x := range shard.State() {
			vars = append(vars, Var{Name: "bank." + x.Name, Place: PerVirtualRank, VirtualRank: t.env.Lo + i, Value: x.Value})
		}
	}
	return vars
}

func (t *moco) Trained() []ParameterGroup { return []ParameterGroup{t.query.group()} }
func (t *moco) Restored() error           { return nil }
func (t *moco) Snapshot() Encoder         { return t.query.snapshot() }

func (t *moco) BankBytes() uint64 {
	total := uint64(0)
	for _, shard := range t.bank {
		total += shard.Bytes()
	}
	return total
}

// Step is the sharded form of MoCo's Algorithm 1. The momentum update stands at the end of a step rather than at the start of the
// next one, which is the same sequence, so that a skipped step changes nothing.
func (t *moco) Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error) {
	t.env.enter(PhaseForward)
	t.embed(step, own)
	rows, err := gather(ctx, g, t.env, t.width, t.query.unit, t.key.unit)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBank)
	metrics, err := t.contrast(ctx, g, step, own, rows[0], rows[1])
	if err != nil {
		return nil, err
	}
	weighted, err := t.weigh(ctx, g)
	if err != nil {
		return nil, err
	}
	t.env.enter(PhaseBackward)
	t.backward(weighted)
	statistics, err := sumStatistics(ctx, g, t.query.branch, t.key)
	if err != nil {
		return nil, err
	}
	if err := update(ctx, t.query.name); err != nil {
		return nil, err
	}
	t.env.enter(PhaseBank)
	observe(statistics, t.env.VirtualRanks, t.query.branch, t.key)
	t.follower.follow(step)
	for i, b := range own {
		t.bank[i].Append(t.key.unit(i), b.Positions, b.Samples, step)
	}
	return metrics, nil
}

// embed makes each owned virtual rank's unit queries and keys.
func (t *moco) embed(step uint64, own []Batch) {
	simd.Parallel(len(own), func(i int) {
		view2, order := t.shuffle(i, step, own[i])
		t.key.forward(step, i, view2)
		unshuffle(t.key.unit(i), order, t.width)
		t.query.forward(step, i, own[i].Fields["view1"])
	})
}

// shuffle permutes a micro-batch's second views, so that a query and its key share no batch-norm sub-group by construction (He et al.
// 2020, §3.3): row r of the result is row order[r] of the batch. With one sub-group nothing is permuted, and order is nil.
func (t *moco) shuffle(i int, step uint64, b Batch) (view *tensor.Dense, order []int) {
	view = b.Fields["view2"]
	if t.config.ShuffleGroups == 1 {
		return view, nil
	}
	if t.shuffled[i] == nil {
		t.shuffled[i] = zeros(view.Shape()...)
	}
	key := t.env.Key.For("moco.shuffle").At(step, uint64(b.VirtualRank))
	n := view.Shape()[0]
	size := len(view.Float32s()) / n
	order = make([]int, n)
	for r := range order {
		order[r] = int(key.Permute(uint64(r), uint64(n)))
		copy(t.shuffled[i].Float32s()[r*size:(r+1)*size], view.Float32s()[order[r]*size:(order[r]+1)*size])
	}
	return t.shuffled[i], order
}

// unshuffle puts the (n, d) rows back into the batch's order.
func unshuffle(rows []float32, order []int, d int) {
	shuffled := append([]float32(nil), rows...)
	for r, home := range order {
		copy(rows[home*d:(home+1)*d], shuffled[r*d:(r+1)*d])
	}
}

// contrast runs every query against the owned shards and merges what all shards say. The gathered rows hold, for each virtual rank, its
// figures, B of each kind, the staleness of its shard as sum and count, and how many pairs of a query and a key were masked.
func (t *moco) contrast(ctx context.Context, g Group, step uint64, own []Batch, queries, keys []float32) (Metrics, error) {
	b := t.env.GlobalBatch
	width := t.form.width()*b + 3
	masked, err := t.masked(ctx, g, own)
	if err != nil {
		return nil, err
	}
	rows := make([]*tensor.Dense, len(t.bank))
	for i, shard := range t.bank {
		age, written := shard.Staleness(step)
		drawn := objective.Drawn{Rows: shard.Keys(), D: t.width, Hidden: masked[i]}
		row := t.form.compute(i, queries, drawn, make([]float32, 0, width))
		rows[i] = tensor.New(tensor.WithShape(1, width), tensor.WithBacking(append(row, float32(age), float32(written), float32(len(masked[i])))))
	}
	all, err := g.AllGather(ctx, rows)
	if err != nil {
		return nil, fmt.Errorf("gather the bank's maxima and sums: %w", err)
	}
	kinds := make([][][]float32, t.form.width())
	age, written, pairs := 0.0, 0.0, 0.0
	for v := range t.env.VirtualRanks {
		row := all.Float32s()[v*width : (v+1)*width]
		for kind := range kinds {
			kinds[kind] = append(kinds[kind], row[kind*b:(kind+1)*b])
		}
		age += float64(row[width-3])
		written += float64(row[width-2])
		pairs += float64(row[width-1])
	}
	cosines := make([]float32, b)
	for i := range cosines {
		cosines[i] = simd.Dot(queries[i*t.width:(i+1)*t.width], keys[i*t.width:(i+1)*t.width])
	}
	loss, positive, finite := t.form.merge(cosines, kinds)
	if !finite {
		return nil, lossNotFinite(step)
	}
	metrics := Metrics{"loss": loss, "positiveSimilarity": positive, "bank.stalenessMean": age / max(written, 1)}
	if t.config.MaskOwnKeys {
		metrics["bank.maskedMean"] = pairs / float64(b)
	}
	t.form.chance(metrics)
	return metrics, nil
}

// masked are, for each owned shard, the pairs of a key and a query that are of the same sample: such a key is no negative. There are none where
// the job does not ask for it.
func (t *moco) masked(ctx context.Context, g Group, own []Batch) ([][]objective.Pair, error) {
	pairs := make([][]objective.Pair, len(t.bank))
	if !t.config.MaskOwnKeys {
		return pairs, nil
	}
	samples, err := gatherSamples(ctx, g, own)
	if err != nil {
		return nil, err
	}
	for i, shard := range t.bank {
		pairs[i] = shard.Own(samples)
	}
	return pairs, nil
}

// weigh sums the owned shards' shares of the gradient over all of them: those of the owned queries, (n, d) for each owned virtual rank.
func (t *moco) weigh(ctx context.Context, g Group) ([]*tensor.Dense, error) {
	shares := make([]*tensor.Dense, len(t.bank))
	for i := range t.bank {
		shares[i] = tensor.New(tensor.WithShape(t.env.GlobalBatch, t.width), tensor.WithBacking(t.form.share(i)))
	}
	weighted, err := g.SumScatter(ctx, shares, t.form.bound())
	if err != nil {
		return nil, fmt.Errorf("sum the bank's part of the gradient: %w", err)
	}
	return weighted, nil
}

// backward takes the gradient from the gathered sums to the parameters, one virtual rank at a time.
func (t *moco) backward(weighted []*tensor.Dense) {
	n, mean := t.env.micro(), 1/float32(t.env.GlobalBatch)
	simd.Parallel(len(weighted), func(i int) {
		t.form.gradient(t.query.gradient(i), weighted[i].Float32s(), t.key.unit(i), (t.env.Lo+i)*n, mean)
		t.query.backward(i)
	})
}
