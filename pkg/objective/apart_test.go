package objective

import (
	"fmt"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// apartOf runs a loss against a bank as the ranks do: unit queries q and their keys (n, d), the bank cut in shards, and pairs of a row of
// the bank and a query that do not count.
func apartOf(x *Negatives, q, keys, bank []float32, hidden []Pair, shards int) (loss float64, dq []float32) {
	d, rows, size := x.D, len(q)/x.D, len(bank)/x.D
	cosines, weighted := make([]float32, rows), make([]float32, len(q))
	for i := range rows {
		cosines[i] = simd.Dot(q[i*d:(i+1)*d], keys[i*d:(i+1)*d])
	}
	merged := ApartMerge{Form: x}
	parts, figures := make([]*ApartPart, shards), [4][][]float32{}
	ranksOf(size, shards, func(lo, hi int) {
		v := len(figures[0])
		shard := Drawn{Rows: bank[lo*d : hi*d], D: d}
		for _, h := range hidden {
			if int(h.Place) >= lo && int(h.Place) < hi {
				shard.Hidden = append(shard.Hidden, Pair{h.Place - int32(lo), h.Query})
			}
		}
		p := NewApartPart(x, rows, d)
		p.Compute(q, shard)
		parts[v] = p
		for f, figure := range [][]float32{p.M, p.Hard, p.Weights, p.Count} {
			figures[f] = append(figures[f], figure)
		}
	})
	merged.Merge(cosines, figures[0], figures[1], figures[2], figures[3])
	for _, p := range parts {
		merged.Weigh(p, d)
		simd.Add(weighted, p.O)
	}
	merged.QueryGradient(weighted, weighted, keys, 0, d, 1/float32(rows))
	return merged.Loss, weighted
}

// apartDefinition is the loss by its definition in float64.
func apartDefinition(x *Negatives, q []float64, keys, bank []float32, hidden []Pair, tau float64) (loss float64) {
	d, rows := x.D, len(q)/x.D
	skip := map[Pair]bool{}
	for _, h := range hidden {
		skip[h] = true
	}
	score := func(i int, row []float32) (s float64) {
		for c, k := range row {
			s += q[i*d+c] * float64(k) / tau
		}
		return s
	}
	for i := range rows {
		hard, weights, n := 0.0, 0.0, 0.0
		for j := range len(bank) / d {
			if !skip[Pair{int32(j), int32(i)}] {
				s := score(i, bank[j*d:(j+1)*d])
				hard += math.Exp((1 + x.Beta) * s)
				weights += math.Exp(x.Beta * s)
				n++
			}
		}
		plus := score(i, keys[i*d:(i+1)*d])
		if x.Decoupled {
			loss += (math.Log(hard) - plus) / float64(rows)
			continue
		}
		g := max((hard/(weights/n)-x.TauPlus*n*math.Exp(plus))/(1-x.TauPlus), n*math.Exp(-1/tau))
		loss -= math.Log(math.Exp(plus)/(math.Exp(plus)+g)) / float64(rows)
	}
	return loss
}

// apartForms are the losses against a bank.
var apartForms = []Negatives{
	{Decoupled: true}, {TauPlus: 0.1}, {TauPlus: 0.1, Beta: 1}, {TauPlus: 0, Beta: 0.5},
	{TauPlus: 0.4}, // some queries at their lower bound
}

func TestLossesAgainstABankByTheirDefinition(t *testing.T) {
	const d, rows, size = 6, 5, 40
	key, tau := keyed.New(3), float32(0.25)
	q, keys, bank := random(key.For("q"), rows*d), random(key.For("k"), rows*d), random(key.For("bank"), size*d)
	for _, x := range [][]float32{q, keys, bank} {
		Normalize(x, x, make([]float32, len(x)/d), len(x)/d, d)
	}
	for _, x := range apartForms {
		x.D, x.Tau = d, tau
		for _, hidden := range [][]Pair{nil, {{0, 1}, {7, 0}, {7, 4}, {8, 0}, {39, 2}}} {
			q64 := widened(q)
			want := apartDefinition(&x, q64, keys, bank, hidden, float64(tau))
			for _, shards := range []int{1, 2, 3, 7} {
				loss, dq := apartOf(&x, q, keys, bank, hidden, shards)
				if e := math.Abs((loss - want) / want); !(e < 1e-5) {
					t.Errorf("%+v in %d shards with %v hidden: loss %v, want %v", x, shards, hidden, loss, want)
				}
				differences(t, dq, q64, 1e-6, func() float64 { return apartDefinition(&x, q64, keys, bank, hidden, float64(tau)) })
			}
		}
	}
}

// Against a bank that holds all rows of a batch, with each query's own row and positive hidden, the losses are those of the batch.
func TestLossesAgainstABankOfTheBatchAgreeWithPyTorch(t *testing.T) {
	for _, name := range []string{"dcl", "debiased", "hard_negative"} {
		f := load(t, name)
		u := append(f.Inputs["a"].f32(), f.Inputs["b"].f32()...)
		d := f.Inputs["a"].Shape[1]
		rows := len(u) / d
		z := make([]float32, len(u))
		Normalize(z, u, make([]float32, rows), rows, d)
		var hidden []Pair
		for j := range rows {
			for i := range rows {
				if j == i || j == (i+rows/2)%rows {
					hidden = append(hidden, Pair{int32(j), int32(i)})
				}
			}
		}
		positives := append(append([]float32{}, z[rows/2*d:]...), z[:rows/2*d]...)
		x := &Negatives{NTXent: NTXent{D: d, Tau: float32(f.Params["tau"])}, Decoupled: name == "dcl", TauPlus: f.Params["tau_plus"], Beta: f.Params["beta"]}
		loss64 := apartDefinition(x, widened(z), positives, z, hidden, f.Params["tau"])
		for _, shards := range []int{1, 3} {
			loss, _ := apartOf(x, z, positives, z, hidden, shards)
			if e := math.Abs(loss/f.Outputs["loss"].Data[0] - 1); !(e < 1e-5) {
				t.Errorf("%s in %d shards: loss %v, want %v", name, shards, loss, f.Outputs["loss"].Data[0])
			}
		}
		if e := math.Abs(loss64/f.Outputs["loss"].Data[0] - 1); !(e < 1e-6) { // its rows are rounded to float32
			t.Errorf("%s: the definition has %v, want %v", name, loss64, f.Outputs["loss"].Data[0])
		}
	}
}

// The shares of all shards of a query stay within their bound in any order, since sums of them have a fixed exponent.
func TestSharesOfHardNegativesStayInTheirBound(t *testing.T) {
	const d, rows, size, shards = 8, 9, 40, 4
	x := &Negatives{NTXent: NTXent{D: d, Tau: 0.05}, TauPlus: 0.1, Beta: 2}
	key := keyed.New(2)
	q, bank := random(key.For("q"), rows*d), random(key.For("bank"), size*d)
	Normalize(q, q, make([]float32, rows), rows, d)
	Normalize(bank, bank, make([]float32, size), size, d)
	merged := ApartMerge{Form: x}
	var parts []*ApartPart
	var m, hard, weights, counts [][]float32
	ranksOf(size, shards, func(lo, hi int) {
		p := NewApartPart(x, rows, d)
		p.Compute(q, Drawn{Rows: bank[lo*d : hi*d], D: d})
		parts = append(parts, p)
		m, hard, weights, counts = append(m, p.M), append(hard, p.Hard), append(weights, p.Weights), append(counts, p.Count)
	})
	merged.Merge(make([]float32, rows), m, hard, weights, counts)
	sum := make([]float64, rows*d)
	for _, p := range parts {
		merged.Weigh(p, d)
		for i, v := range p.O {
			sum[i] += math.Abs(float64(v))
		}
	}
	for i, v := range sum {
		if v > float64(merged.Bound()) {
			t.Errorf("element %d adds up to %v in absolute value, the bound is %v", i, v, merged.Bound())
		}
	}
}

// A query whose every key is hidden learns nothing, and NaN is reported.
func TestABankWithNothingToContrastWith(t *testing.T) {
	row := []float32{1, 0}
	for _, x := range apartForms {
		x.D, x.Tau = 2, 0.1
		loss, dq := apartOf(&x, row, row, row, []Pair{{0, 0}}, 1)
		if got := fmt.Sprint(loss, dq); got != "0 [0 0]" {
			t.Errorf("%+v: loss and gradient are %s", x, got)
		}
		nan := []float32{float32(math.NaN())}
		if (&ApartMerge{Form: &x}).Merge([]float32{0}, [][]float32{{0}}, [][]float32{nan}, [][]float32{{1}}, [][]float32{{1}}) {
			t.Errorf("%+v: NaN passed as finite", x)
		}
	}
}
