package objective

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// supConOf runs the objective as virtual ranks do, from raw embeddings u (2B, d).
func supConOf(u []float32, labels []uint64, d, ranks int, tau float32) (loss float64, du []float32) {
	rows := len(u) / d
	z, norms := make([]float32, len(u)), make([]float32, rows)
	Normalize(z, u, norms, rows, d)
	x := SupCon{NTXent: NTXent{Z: z, D: d, Tau: tau}}
	x.Label(labels)
	lse, dz := make([]float32, rows), make([]float32, len(u))
	each := func(f func(lo, hi int)) {
		for _, view := range []int{0, rows / 2} {
			ranksOf(rows/2, ranks, func(lo, hi int) { f(view+lo, view+hi) })
		}
	}
	each(func(lo, hi int) { x.LogSumExp(lse[lo:hi], lo) })
	loss, _, _, _ = x.Loss(lse)
	each(func(lo, hi int) { x.Gradient(dz[lo*d:hi*d], lse, lo) })
	NormalizeBackward(dz, dz, z, norms, rows, d)
	return loss, dz
}

// supConDefinition is the loss by its definition in float64.
func supConDefinition(u []float64, labels []uint64, d int, tau float64) (loss float64) {
	rows := len(u) / d
	dot := func(i, j int) (s float64) {
		for c := range d {
			s += u[i*d+c] * u[j*d+c]
		}
		return s
	}
	score := func(i, j int) float64 { return dot(i, j) / math.Sqrt(dot(i, i)*dot(j, j)) / tau }
	for i := range rows {
		all, own, n := 0.0, 0.0, 0.0
		for j := range rows {
			if j == i {
				continue
			}
			all += math.Exp(score(i, j))
			if labels[j%len(labels)] == labels[i%len(labels)] {
				own += score(i, j)
				n++
			}
		}
		loss += (math.Log(all) - own/n) / float64(rows)
	}
	return loss
}

func TestSupConAgainstPyTorch(t *testing.T) {
	f := load(t, "supcon")
	u := append(slices.Clone(f.Inputs["a"].Data), f.Inputs["b"].Data...)
	var labels []uint64
	for _, l := range f.Inputs["labels"].Data {
		labels = append(labels, uint64(l))
	}
	tau := f.Params["tau"]
	loss64 := supConDefinition(u, labels, 5, tau)
	want := append(slices.Clone(f.Grads["a"].Data), f.Grads["b"].Data...)
	for _, ranks := range []int{1, 2, 3} {
		loss, du := supConOf(narrowed(u), labels, 5, ranks, float32(tau))
		agrees(t, fmt.Sprint(ranks, " ranks: loss"), []float64{loss}, []float64{loss64}, f.Outputs["loss"].Data)
		if e := relative(du, want); !(e <= 1e-5) {
			t.Errorf("%d ranks: gradient is off by %.2e", ranks, e)
		}
	}
}

func TestSupConByCentralDifferences(t *testing.T) {
	for _, labels := range [][]uint64{{0, 1}, {5, 5, 5}, {3, 1, 3, 1 << 40, 1, 3, 0}} {
		const d = 4
		u := widened(random(keyed.New(6), 2*len(labels)*d))
		loss, du := supConOf(narrowed(u), labels, d, 2, 0.3)
		if want := supConDefinition(u, labels, d, 0.3); math.Abs(loss/want-1) > 1e-5 {
			t.Errorf("labels %v: loss %v, want %v", labels, loss, want)
		}
		differences(t, du, u, 1e-6, func() float64 { return supConDefinition(u, labels, d, 0.3) })
	}
}

// Where every sample has a label of its own, the only positive is the other view: NT-Xent.
func TestSupConWithoutSharedLabelsIsNTXent(t *testing.T) {
	const d, samples = 5, 40
	u, labels := random(keyed.New(7), 2*samples*d), make([]uint64, samples)
	for i := range labels {
		labels[i] = uint64(i)
	}
	loss, du := supConOf(u, labels, d, 2, 0.2)
	want, wantDu := ntXent(u, d, 2, 0.2)
	if math.Abs(loss/want-1) > 1e-6 || relative(du, widened(wantDu)) > 1e-5 {
		t.Errorf("loss %v, NT-Xent %v; gradient off by %.2e", loss, want, relative(du, widened(wantDu)))
	}
}
