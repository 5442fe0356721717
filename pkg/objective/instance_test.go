package objective

import (
	"fmt"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// instanceCase is instance discrimination on one bank, cut in shards of contiguous rows, for queries that all meet the same draw.
type instanceCase struct {
	u, bank []float32 // raw queries (rows, d), unit vectors (N, d)
	ids     []int     // of the queries' own vectors
	drawn   []int     // rows of the bank; nil: all
	d       int
	tau     float64
	shards  int
	nce     bool
	logZ    float64 // for nce
}

func (c instanceCase) size() int { return len(c.bank) / c.d }

func (c instanceCase) negatives() int {
	if c.drawn == nil {
		return c.size()
	}
	return len(c.drawn)
}

// shard is what of the draw lies in shard v, with each query's own place in it.
func (c instanceCase) shard(v int) Drawn {
	lo, hi := v*c.size()/c.shards, (v+1)*c.size()/c.shards
	k := Drawn{Rows: c.bank[lo*c.d : hi*c.d], D: c.d}
	if c.drawn != nil {
		k.Picked = []int32{}
		for _, row := range c.drawn {
			if row >= lo && row < hi {
				k.Picked = append(k.Picked, int32(row-lo))
			}
		}
	}
	for at := range k.Len() {
		row := at
		if c.drawn != nil {
			row = int(k.Picked[at])
		}
		for i, id := range c.ids {
			if row+lo == id {
				k.Hidden = append(k.Hidden, Pair{int32(at), int32(i)})
			}
		}
	}
	return k
}

// run is the whole objective as the ranks do it.
func (c instanceCase) run() (loss float64, du []float32, logMean float64) {
	rows, d, tau := len(c.ids), c.d, float32(c.tau)
	q, norms := make([]float32, len(c.u)), make([]float32, rows)
	Normalize(q, c.u, norms, rows, d)
	cosines := make([]float32, rows)
	for i, id := range c.ids {
		cosines[i] = simd.Dot(q[i*d:(i+1)*d], c.bank[id*d:(id+1)*d])
	}
	a, b, logSums := make([][]float32, c.shards), make([][]float32, c.shards), make([]float32, c.shards)
	dq, scale, plus := make([]float32, len(q)), make([]float32, rows), make([]float32, rows)
	if c.nce {
		shift := float32(c.logZ + math.Log(float64(c.negatives())/float64(c.size())))
		parts := make([]*NCEPart, c.shards)
		for v := range parts {
			parts[v] = NewNCEPart(rows, d)
			parts[v].Compute(q, c.shard(v), tau, shift)
			a[v], b[v], logSums[v] = parts[v].Loss, parts[v].Weight, parts[v].LogSum
		}
		merged := new(NCEMerge)
		merged.Merge(cosines, a, b, logSums, c.negatives(), tau, shift)
		for _, p := range parts {
			merged.Weigh(p, d)
			simd.Add(dq, p.O)
		}
		for i := range rows {
			scale[i], plus[i] = merged.Total(i), merged.Plus[i]
		}
		loss, logMean = merged.Loss, merged.LogMean+float64(shift)
	} else {
		parts := make([]*BankPart, c.shards)
		for v := range parts {
			parts[v] = NewBankPart(rows, d)
			parts[v].ComputeDrawn(q, c.shard(v), tau)
			a[v], b[v] = parts[v].M, parts[v].L
		}
		merged := new(BankMerge)
		merged.Merge(cosines, a, b, tau)
		for _, p := range parts {
			merged.Weigh(p, d)
			simd.Add(dq, p.O)
		}
		for i := range rows {
			scale[i], plus[i] = 1, 1-merged.PPlus[i]
		}
		loss = merged.Loss
	}
	for i, id := range c.ids {
		simd.Axpy(dq[i*d:(i+1)*d], -plus[i], c.bank[id*d:(id+1)*d])
		simd.Scale(dq[i*d:(i+1)*d], scale[i]/tau/float32(rows))
	}
	NormalizeBackward(dq, dq, q, norms, rows, d)
	return loss, dq, logMean
}

// definition is the loss of instanceCase in float64 for raw queries u, with all scores in memory.
func (c instanceCase) definition(u []float64) (loss float64) {
	for i, id := range c.ids {
		norm := 0.0
		for _, x := range u[i*c.d : (i+1)*c.d] {
			norm += x * x
		}
		score := func(row int) (s float64) {
			for j := range c.d {
				s += u[i*c.d+j] / math.Sqrt(norm) * float64(c.bank[row*c.d+j]) / c.tau
			}
			return s
		}
		drawn := c.drawn
		if drawn == nil {
			for row := range c.size() {
				drawn = append(drawn, row)
			}
		}
		own, noise := score(id), float64(len(drawn))/float64(c.size())
		if c.nce {
			p := math.Exp(own - c.logZ)
			loss -= math.Log(p / (p + noise))
			for _, row := range drawn {
				loss -= math.Log(noise / (math.Exp(score(row)-c.logZ) + noise))
			}
			continue
		}
		z := math.Exp(own)
		for _, row := range drawn {
			if row != id {
				z += math.Exp(score(row))
			}
		}
		loss += math.Log(z) - own
	}
	return loss / float64(len(c.ids))
}

func random64(key keyed.Key, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(float32(key.Normal(uint64(i))))
	}
	return x
}

func TestInstanceDiscriminationAgainstItsDefinition(t *testing.T) {
	for _, nce := range []bool{false, true} {
		for _, c := range []struct {
			rows, size, drawn, d int
			tau                  float64
			shards               []int
		}{{4, 12, 0, 5, 0.07, []int{1, 5, 12}}, {66, 600, 70, 16, 0.2, []int{1, 3}}, {3, 900, 600, 128, 0.1, []int{2}}, {2, 9, 1, 4, 0.5, []int{9}}} {
			key := keyed.New(21)
			u := random64(key.For("u"), c.rows*c.d)
			x := instanceCase{u: make([]float32, len(u)), bank: random(key.For("bank"), c.size*c.d), d: c.d, tau: c.tau, nce: nce, logZ: math.Log(float64(c.size)) + 1}
			for i, v := range u {
				x.u[i] = float32(v)
			}
			Normalize(x.bank, x.bank, make([]float32, c.size), c.size, c.d)
			for i := range c.rows {
				x.ids = append(x.ids, i*(c.size-1)/max(c.rows-1, 1))
			}
			for j := range c.drawn {
				x.drawn = append(x.drawn, int(key.For("draw").Permute(uint64(j), uint64(c.size))))
			}
			want := x.definition(u)
			gradient := make([]float64, len(u))
			for i := range u { // central differences of the definition
				const h = 1e-5
				kept := u[i]
				u[i] = kept + h
				up := x.definition(u)
				u[i] = kept - h
				gradient[i] = (up - x.definition(u)) / (2 * h)
				u[i] = kept
				if i == 40 {
					gradient = gradient[:41] // enough of the larger cases
					break
				}
			}
			for _, shards := range c.shards {
				x.shards = shards
				loss, du, _ := x.run()
				if e := math.Abs(loss-want) / want; e > 1e-5 {
					t.Errorf("nce %v, %+v, %d shards: loss %v, want %v", nce, c, shards, loss, want)
				}
				if e := relative(du, gradient); e > 3e-5 {
					t.Errorf("nce %v, %+v, %d shards: gradient is off by %.2e", nce, c, shards, e)
				}
			}
		}
	}
}

func ints(a array) []int {
	var x []int
	for _, v := range a.Data {
		x = append(x, int(v))
	}
	return x
}

func TestSoftmaxOverTheBankAgainstPyTorch(t *testing.T) {
	f := load(t, "instdisc_softmax")
	for _, shards := range []int{1, 3, 12} {
		c := instanceCase{u: f.Inputs["v"].f32(), bank: f.Inputs["bank"].f32(), ids: ints(f.Inputs["ids"]), d: 5, tau: f.Params["tau"], shards: shards}
		loss, du, _ := c.run()
		if e := relative([]float32{float32(loss)}, f.Outputs["loss"].Data); e > 1e-5 {
			t.Errorf("%d shards: loss %v, want %v", shards, loss, f.Outputs["loss"].Data)
		}
		if e := relative(du, f.Grads["v"].Data); e > 1e-5 {
			t.Errorf("%d shards: ∂L/∂v is off by %.2e", shards, e)
		}
	}
}

// The fixtures draw for each query of its own, with repetitions; so each is a batch of one here.
func TestNCEAgainstPyTorch(t *testing.T) {
	for _, name := range []string{"instdisc_nce", "instdisc_nce_fixedZ"} {
		f := load(t, name)
		z := f.Outputs["Z"].Data[0]
		const rows, d, draws = 4, 5, 6
		loss, logMeans := 0.0, []float64{}
		var du []float32
		for i := range rows {
			c := instanceCase{
				u: f.Inputs["v"].f32()[i*d : (i+1)*d], bank: f.Inputs["bank"].f32(), ids: ints(f.Inputs["ids"])[i : i+1], drawn: ints(f.Inputs["neg"])[i*draws : (i+1)*draws],
				d: d, tau: f.Params["tau"], shards: 3, nce: true, logZ: math.Log(z),
			}
			one, g, logMean := c.run()
			loss += one / rows
			logMeans = append(logMeans, logMean)
			for _, x := range g {
				du = append(du, x/rows)
			}
		}
		if e := relative([]float32{float32(loss)}, f.Outputs["loss"].Data); e > 1e-5 {
			t.Errorf("%s: loss %v, want %v", name, loss, f.Outputs["loss"].Data)
		}
		if e := relative(du, f.Grads["v"].Data); e > 1e-5 {
			t.Errorf("%s: ∂L/∂v is off by %.2e", name, e)
		}
		// Z of the batch is N times the mean of e^s; the parts know e^s in units of Z·m/N, whatever Z they were given.
		got := math.Exp(LogSumExp(logMeans...)-math.Log(rows)) * f.Params["N"] / z
		if want := 1.0; math.Abs(got-want) > 1e-5 {
			t.Errorf("%s: Z is estimated as %v of what it is", name, got)
		}
	}
}

func TestNCEStaysFiniteWhateverZ(t *testing.T) {
	key := keyed.New(8)
	c := instanceCase{u: random(key.For("u"), 3*8), bank: random(key.For("bank"), 40*8), ids: []int{0, 7, 39}, d: 8, tau: 0.001, shards: 4, nce: true}
	Normalize(c.bank, c.bank, make([]float32, 40), 40, 8)
	c.logZ = 721
	_, _, mean := c.run()
	if math.Abs(mean-c.logZ) > 1 {
		t.Fatalf("log of the mean of e^s is %v; the case is another than thought", mean)
	}
	for _, c.logZ = range []float64{-1000, -100, 0, 200, 1000} {
		loss, du, logMean := c.run()
		if !(loss > 0) || math.IsInf(loss, 0) {
			t.Errorf("log Z = %v: loss %v", c.logZ, loss)
		}
		// From a Z that is too low, the next step goes by the right one.
		if c.logZ < mean && math.Abs(logMean-mean) > 0.01 {
			t.Errorf("log Z = %v: log of the mean of e^s is %v, want %v", c.logZ, logMean, mean)
		}
		for i, x := range du {
			if x != x || math.IsInf(float64(x), 0) {
				t.Fatalf("log Z = %v: element %d of the gradient is %v", c.logZ, i, x)
			}
		}
	}
}

func TestNaNIsReportedByNCE(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct{ cosine, loss, sum float32 }{{nan, 1, 1}, {0, nan, 1}, {0, 1, nan}, {0, 1, float32(math.Inf(1))}} {
		if new(NCEMerge).Merge([]float32{c.cosine}, [][]float32{{c.loss}}, [][]float32{{1}}, []float32{c.sum}, 4, 0.2, 0) {
			t.Errorf("%v passed as finite", fmt.Sprint(c))
		}
	}
}

// Nothing drawn from a shard, or nothing but the query's own vector, leaves no trace of that shard.
func TestAnEmptyDrawCountsForNothing(t *testing.T) {
	rows := []float32{1, 0, 0, 1}
	for _, keys := range []Drawn{{Rows: rows, D: 2, Picked: []int32{}}, {Rows: rows, D: 2, Picked: []int32{1}, Hidden: []Pair{{0, 0}}}} {
		p := NewBankPart(1, 2)
		p.ComputeDrawn([]float32{0.6, 0.8}, keys, 0.1)
		with, without := new(BankMerge), new(BankMerge)
		finite := with.Merge([]float32{0.5}, [][]float32{{3}, p.M}, [][]float32{{2}, p.L}, 0.1)
		without.Merge([]float32{0.5}, [][]float32{{3}}, [][]float32{{2}}, 0.1)
		with.Weigh(p, 2)
		if !finite || with.Loss != without.Loss || p.O[0] != 0 || p.O[1] != 0 {
			t.Errorf("%v: loss %v, without the shard %v; share %v", keys.Picked, with.Loss, without.Loss, p.O)
		}
	}
	p := NewNCEPart(1, 2)
	p.Compute([]float32{0.6, 0.8}, Drawn{Rows: rows, D: 2, Picked: []int32{}}, 0.1, 0)
	if p.Loss[0] != 0 || p.Weight[0] != 0 || !math.IsInf(float64(p.LogSum), -1) {
		t.Errorf("nothing drawn: %+v", p)
	}
}
