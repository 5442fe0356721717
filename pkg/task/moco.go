package task

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/memorybank"
	"github.com/sslctl/sslctl/pkg/nn"
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

	query    *encoder
	key      *encoder // its parameters follow the query's: k ← m·k + (1−m)·q
	bank     []*memorybank.Shard
	parts    []*objective.BankPart
	grads    []*tensor.Dense
	stats    []*tensor.Dense // batch statistics of query and key encoder, of each owned virtual rank
	training []rankState
}

// rankState is one owned virtual rank's part of the step in flight.
type rankState struct {
	query, key *nn.Model // replicas: activations of their own
	embeddings *tensor.Dense
	norms      []float32
	dz         *tensor.Dense
	shuffled   *tensor.Dense
}

func newMoCo(c Config, e Environment) (Task, error) {
	switch {
	case c.Temperature <= 0:
		return nil, fmt.Errorf("make task moco: temperature is %v, expected above 0", c.Temperature)
	case c.Momentum < 0 || c.Momentum >= 1:
		return nil, fmt.Errorf("make task moco: momentum is %v, expected in [0, 1)", c.Momentum)
	case c.ShuffleGroups < 1 || (e.GlobalBatch/e.VirtualRanks)%c.ShuffleGroups != 0:
		return nil, fmt.Errorf("make task moco: %d shuffle groups for micro-batches of %d, expected a divisor", c.ShuffleGroups, e.GlobalBatch/e.VirtualRanks)
	}
	t := &moco{config: c, env: e, width: e.Model.OutDim(), query: newEncoder(encoderName, e.Model), key: newEncoder("momentum", e.Model.Clone())}
	n := e.GlobalBatch / e.VirtualRanks
	for v := e.Lo; v < e.Hi; v++ {
		shard, err := memorybank.NewShard(c.BankSize, t.width, v, e.VirtualRanks, e.Key.For("moco.bank"))
		if err != nil {
			return nil, fmt.Errorf("make task moco: %w", err)
		}
		t.bank = append(t.bank, shard)
		t.parts = append(t.parts, objective.NewBankPart(e.GlobalBatch, t.width))
		t.grads = append(t.grads, zeros(len(t.query.model.Params().Data)))
		t.stats = append(t.stats, zeros(2*len(t.query.model.Running().Data)))
		t.training = append(t.training, rankState{
			query: t.query.model.Replica(), key: t.key.model.Replica(),
			embeddings: zeros(2*n, t.width), norms: make([]float32, n), dz: zeros(n, t.width),
		})
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

func (t *moco) Trained() []ParameterGroup {
	return []ParameterGroup{t.query.trained(t.grads)}
}

func (t *moco) Restored() error   { return nil }
func (t *moco) Snapshot() Encoder { return t.query.snapshot() }

func (t *moco) BankBytes() uint64 {
	total := uint64(0)
	for _, shard := range t.bank {
		total += shard.Bytes()
	}
	return total
}

// Step is the sharded form of MoCo's Algorithm 1. The momentum update stands at the end of a step rather than at the start of the
// next one, which is the same sequence, so that a skipped step changes nothing.
func (t *moco) Step(ctx context.Context, g Group, step uint64, own []Batch, update func(context.Context, string) error) (Metrics, error) {
	t.embed(step, own)
	queries, keys, err := t.gather(ctx, g)
	if err != nil {
		return nil, fmt.Errorf("gather queries and keys: %w", err)
	}
	merged, staleness, err := t.contrast(ctx, g, step, queries, keys)
	if err != nil {
		return nil, err
	}
	shares := make([]*tensor.Dense, len(t.parts))
	for i, p := range t.parts {
		merged.Weigh(p, t.width)
		shares[i] = tensor.New(tensor.WithShape(t.env.GlobalBatch, t.width), tensor.WithBacking(p.O))
	}
	weighted, err := g.SumScatter(ctx, shares, 1)
	if err != nil {
		return nil, fmt.Errorf("sum the bank's part of the gradient: %w", err)
	}
	t.backward(weighted, merged.PPlus)
	// The statistics are summed before the update, so that a NaN in them skips the step too.
	stats, err := g.Sum(ctx, t.stats)
	if err != nil {
		return nil, fmt.Errorf("sum batch-norm statistics: %w", err)
	}
	if err := update(ctx, t.query.name); err != nil {
		return nil, err
	}
	t.finish(step, own, stats.Float32s())
	return Metrics{"loss": merged.Loss, "positiveSimilarity": merged.Positive, "bank.stalenessMean": staleness}, nil
}

// embed makes each owned virtual rank's unit queries and keys: rows [0, n) and [n, 2n) of its embeddings.
func (t *moco) embed(step uint64, own []Batch) {
	n := t.env.GlobalBatch / t.env.VirtualRanks
	simd.Parallel(len(own), func(i int) {
		r := &t.training[i]
		out := r.embeddings.Float32s()
		scratch := make([]float32, n)
		view2, order := t.shuffle(r, step, own[i])
		_, z := r.key.Forward(view2, true)
		for to, from := range order {
			copy(out[(n+from)*t.width:(n+from+1)*t.width], z.Float32s()[to*t.width:(to+1)*t.width])
		}
		objective.Normalize(out[n*t.width:], out[n*t.width:], scratch, n, t.width)
		_, z = r.query.Forward(own[i].Fields["view1"], true)
		objective.Normalize(out[:n*t.width], z.Float32s(), r.norms, n, t.width)
		statistics := t.stats[i].Float32s()
		r.query.BatchStats(statistics[:len(statistics)/2])
		r.key.BatchStats(statistics[len(statistics)/2:])
	})
}

// shuffle permutes a micro-batch's second views, so that a query and its key share no batch-norm sub-group by construction (He et al.
// 2020, §3.3): row r of the result is row order[r] of the batch. With one sub-group the order is the identity.
func (t *moco) shuffle(r *rankState, step uint64, b Batch) (*tensor.Dense, []int) {
	view := b.Fields["view2"]
	n := view.Shape()[0]
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if t.config.ShuffleGroups == 1 {
		return view, order
	}
	if r.shuffled == nil {
		r.shuffled = zeros(view.Shape()...)
	}
	key := t.env.Key.For("moco.shuffle").At(step, uint64(b.VirtualRank))
	size := len(view.Float32s()) / n
	for i := range order {
		order[i] = int(key.Permute(uint64(i), uint64(n)))
		copy(r.shuffled.Float32s()[i*size:(i+1)*size], view.Float32s()[order[i]*size:(order[i]+1)*size])
	}
	return r.shuffled, order
}

// gather returns the queries and keys of all virtual ranks, (B, d) each.
func (t *moco) gather(ctx context.Context, g Group) (queries, keys []float32, err error) {
	own := make([]*tensor.Dense, len(t.training))
	for i := range t.training {
		own[i] = t.training[i].embeddings
	}
	all, err := g.AllGather(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	part := t.env.GlobalBatch / t.env.VirtualRanks * t.width
	queries, keys = make([]float32, t.env.GlobalBatch*t.width), make([]float32, t.env.GlobalBatch*t.width)
	for v, x := 0, all.Float32s(); v < t.env.VirtualRanks; v, x = v+1, x[2*part:] {
		copy(queries[v*part:], x[:part])
		copy(keys[v*part:], x[part:2*part])
	}
	return queries, keys, nil
}

// contrast runs every query against the owned shards and merges what all shards say. The gathered rows hold, for each virtual rank, B
// maxima, B sums, and the staleness of its shard as sum and count.
func (t *moco) contrast(ctx context.Context, g Group, step uint64, queries, keys []float32) (*objective.BankMerge, float64, error) {
	b, tau := t.env.GlobalBatch, float32(t.config.Temperature)
	own := make([]*tensor.Dense, len(t.bank))
	for i, shard := range t.bank {
		t.parts[i].Compute(queries, shard.Keys(), t.width, tau)
		age, written := shard.Staleness(step)
		row := append(append(make([]float32, 0, 2*b+2), t.parts[i].M...), t.parts[i].L...)
		own[i] = tensor.New(tensor.WithShape(1, 2*b+2), tensor.WithBacking(append(row, float32(age), float32(written))))
	}
	all, err := g.AllGather(ctx, own)
	if err != nil {
		return nil, 0, fmt.Errorf("gather the bank's maxima and sums: %w", err)
	}
	maxima, sums := make([][]float32, t.env.VirtualRanks), make([][]float32, t.env.VirtualRanks)
	age, written := 0.0, 0.0
	for v := range maxima {
		row := all.Float32s()[v*(2*b+2) : (v+1)*(2*b+2)]
		maxima[v], sums[v] = row[:b], row[b:2*b]
		age += float64(row[2*b])
		written += float64(row[2*b+1])
	}
	cosines := make([]float32, b)
	for i := range cosines {
		cosines[i] = simd.Dot(queries[i*t.width:(i+1)*t.width], keys[i*t.width:(i+1)*t.width])
	}
	merged, finite := objective.MergeBank(cosines, maxima, sums, tau)
	if !finite {
		return nil, 0, fmt.Errorf("the contrastive loss of step %d is NaN or Inf: %w", step, ErrNotFinite)
	}
	return merged, age / max(written, 1), nil
}

// backward takes the gradient from the gathered sums to the parameters, one virtual rank at a time.
func (t *moco) backward(weighted []*tensor.Dense, pPlus []float32) {
	n := t.env.GlobalBatch / t.env.VirtualRanks
	tau, mean := float32(t.config.Temperature), 1/float32(t.env.GlobalBatch)
	simd.Parallel(len(t.training), func(i int) {
		r := &t.training[i]
		row := (t.env.Lo + i) * n
		unit, dz := r.embeddings.Float32s(), r.dz.Float32s()
		objective.QueryGradient(dz, weighted[i].Float32s(), unit[n*t.width:], pPlus[row:row+n], t.width, tau, mean)
		objective.NormalizeBackward(dz, dz, unit[:n*t.width], r.norms, n, t.width)
		r.query.Backward(r.dz, t.grads[i].Float32s())
	})
}

// finish does what follows the update of the parameters: running statistics, momentum encoder, bank.
func (t *moco) finish(step uint64, own []Batch, statistics []float32) {
	t.query.observe(statistics[:len(statistics)/2], t.env.VirtualRanks)
	t.key.observe(statistics[len(statistics)/2:], t.env.VirtualRanks)
	follow(t.key.model.Params().Data, t.query.model.Params().Data, float32(t.config.Momentum))
	n := t.env.GlobalBatch / t.env.VirtualRanks
	for i, b := range own {
		t.bank[i].Append(t.training[i].embeddings.Float32s()[n*t.width:], b.Positions, step)
	}
}

// follow is the momentum update k ← m·k + (1−m)·q (He et al. 2020, eq. 2).
func follow(k, q []float32, m float32) {
	simd.Scale(k, m)
	simd.Axpy(k, 1-m, q)
}

func zeros(shape ...int) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]float32, n)))
}
