//go:build !race

package objective

import (
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// The scores of these would take 64 MiB and more; scratch is a few tiles a thread, however many rows there are.
func TestALossAllocatesAFewTiles(t *testing.T) {
	const d, most = 16, 2 << 20
	for name, step := range map[string]func(){"NT-Xent": ntXentStep(2048, d), "hard negatives": hardStep(2048, d), "InfoNCE with a bank": bankStep(256, 65536, d)} {
		if got := scratch(step); got > most {
			t.Errorf("%s allocates %d bytes beside its arguments, want at most %d", name, got, most)
		}
	}
}

// The race detector makes sync.Pool drop entries at random, so this is counted without it.
func TestLossesDoNotAllocate(t *testing.T) {
	simd.SetThreads(2)
	t.Cleanup(func() { simd.SetThreads(0) })
	const n, d = 48, 16
	a, b := random(keyed.New(1), n*d), random(keyed.New(2), n*d)
	norms, figures, dz := make([]float32, n), make([]float32, n), make([]float32, n*d)
	Normalize(a, a, norms, n, d)
	Normalize(b, b, norms, n, d)
	part, noise, merge := NewBankPart(n, d), NewNCEPart(n, d), new(NCEMerge)
	drawn := Drawn{Rows: b, D: d, Picked: []int32{3, 1, 40}, Hidden: []Pair{{1, 2}}}
	losses, weights, logSums := [][]float32{noise.Loss}, [][]float32{noise.Weight}, make([]float32, 1)
	sigmoid, triples := &Sigmoid{Z: a, D: d, Scale: 10, Bias: -10}, make([]float32, SigmoidFigures*n/2)
	form := &Negatives{NTXent: NTXent{D: d, Tau: 0.2}, TauPlus: 0.1, Beta: 1}
	apart, apartMerge := NewApartPart(form, n, d), &ApartMerge{Form: form}
	supervised, labels := &SupCon{NTXent: NTXent{Z: a, D: d, Tau: 0.2}}, make([]uint64, n/2)
	square := make([]float32, d*d)
	barlow, terms, vicreg := Barlow{D: d, Samples: n, Redundancy: 0.1}, new(BarlowTerms), VICReg{D: d, Samples: n, Invariance: 1, Variance: 1, Covariance: 1}
	for name, f := range map[string]func(){
		"NT-Xent": ntXentStep(n, d), "hard negatives": hardStep(n, d), "InfoNCE with a bank": bankStep(n, 600, d),
		"InfoNCE in the batch": func() { InBatch(dz, norms, figures, a, b, 0, d, 0.2, 1) },
		"InfoNCE of drawn":     func() { part.ComputeDrawn(a, drawn, 0.2) },
		"NCE": func() {
			noise.Compute(a, drawn, 0.2, 1)
			logSums[0] = noise.LogSum
			merge.Merge(figures, losses, weights, logSums, 3, 0.2, 1)
			merge.Weigh(noise, d)
		},
		"sigmoid": func() {
			sigmoid.Figures(triples, 0)
			sigmoid.Loss(triples)
			sigmoid.Slopes(triples)
			sigmoid.Gradient(dz[:n/2*d], 0)
		},
		"hard negatives against a bank": func() {
			apart.Compute(a, drawn)
			apartMerge.Merge(figures, [][]float32{apart.M}, [][]float32{apart.Hard}, [][]float32{apart.Weights}, [][]float32{apart.Count})
			apartMerge.Weigh(apart, d)
			apartMerge.QueryGradient(dz, apart.O, b, 0, d, 1)
		},
		"supervised contrast": func() {
			supervised.Label(labels)
			supervised.LogSumExp(figures, 0)
			supervised.Loss(figures)
			supervised.Gradient(dz, figures, 0)
		},
		"guess": func() { Guess(dz, a, b, d, 1) },
		"Barlow Twins": func() {
			barlow.Correlation(square, a, b)
			barlow.Terms(terms, square, [2][]float32{norms[:d], figures[:d]})
			barlow.Gradient(dz, a, b, terms, 0)
		},
		"VICReg": func() {
			vicreg.Scatter(square, a)
			vicreg.Terms([2][]float32{square, square}, vicreg.Distance(a, b))
			vicreg.Gradient(dz, a, a, b, square)
		},
		"normalisation": func() { NormalizeBackward(dz, dz, a, norms, n, d) },
	} {
		f()
		// A collection may empty the pools now and then: the average over many runs stays below one.
		if got := testing.AllocsPerRun(100, f); got >= 1 {
			t.Errorf("%s: %v allocations a step, want 0", name, got)
		}
	}
}
