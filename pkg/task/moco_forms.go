package task

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
)

// bankForm is a form of the loss against a sharded bank of keys: figures of each query, which travel, then each shard's share of the
// gradient of every query.
type bankForm interface {
	// width is the number of figures of a query.
	width() int
	// compute contrasts the queries, (B, d), with the keys of the i-th owned shard and appends its figures: B numbers of one kind, then of the next.
	compute(i int, queries []float32, keys objective.Drawn, figures []float32) []float32
	// merge takes the figures of all shards by kind, each (V, B) in order of virtual rank, and the cosines of the positives.
	merge(cosines []float32, kinds [][][]float32) (loss, positive float64, finite bool)
	// share is what the i-th owned shard adds to the gradient of every query, (B, d); all sums of shares lie within ±bound.
	share(i int) []float32
	bound() float32
	// gradient writes that of the queries from lo on, times scale, given the sums of their shares and their positives, all (n, d).
	gradient(dq, weighted, positives []float32, lo int, scale float32)
	// chance adds the loss of a model to which all samples look alike, where the loss should be below it.
	chance(m Metrics)
}

// newBankForm makes the form that a job names.
func newBankForm(c Config, shards, queries, d int) (bankForm, error) {
	if c.Loss == "infonce" {
		f := &infonceForm{size: c.BankSize, d: d, tau: float32(c.Temperature)}
		for range shards {
			f.parts = append(f.parts, objective.NewBankPart(queries, d))
		}
		return f, nil
	}
	settings, err := newNegatives(c, "infonce")
	if err != nil {
		return nil, err
	}
	settings.Tau = float32(c.Temperature)
	f := &apartForm{size: c.BankSize, d: d, merged: objective.ApartMerge{Form: settings}}
	for range shards {
		f.parts = append(f.parts, objective.NewApartPart(settings, queries, d))
	}
	return f, nil
}

// newNegatives are the settings of a loss that treats the positive apart; plain is the name of the one that does not.
func newNegatives(c Config, plain string) (*objective.Negatives, error) {
	switch c.Loss {
	case "dcl":
		return &objective.Negatives{Decoupled: true}, nil
	case "debiased":
		c.Beta = 0
	case "hard":
		if !(c.Beta > 0) {
			return nil, fmt.Errorf("make task %s: beta is %v, expected above 0 with loss hard", c.Name, c.Beta)
		}
	default:
		return nil, fmt.Errorf("make task %s: loss %q, expected %s, dcl, debiased or hard", c.Name, c.Loss, plain)
	}
	if !(c.TauPlus >= 0 && c.TauPlus < 1) {
		return nil, fmt.Errorf("make task %s: tauPlus is %v, expected in [0, 1)", c.Name, c.TauPlus)
	}
	return &objective.Negatives{TauPlus: c.TauPlus, Beta: c.Beta}, nil
}

// infonceForm is the cross-entropy of the positive among it and all keys.
type infonceForm struct {
	size, d int
	tau     float32
	parts   []*objective.BankPart
	merged  objective.BankMerge
}

func (f *infonceForm) width() int     { return 2 }
func (f *infonceForm) bound() float32 { return 1 }

func (f *infonceForm) compute(i int, queries []float32, keys objective.Drawn, figures []float32) []float32 {
	p := f.parts[i]
	p.ComputeDrawn(queries, keys, f.tau)
	return append(append(figures, p.M...), p.L...)
}

func (f *infonceForm) merge(cosines []float32, kinds [][][]float32) (loss, positive float64, finite bool) {
	finite = f.merged.Merge(cosines, kinds[0], kinds[1], f.tau)
	return f.merged.Loss, f.merged.Positive, finite
}

func (f *infonceForm) share(i int) []float32 {
	f.merged.Weigh(f.parts[i], f.d)
	return f.parts[i].O
}

func (f *infonceForm) gradient(dq, weighted, positives []float32, lo int, scale float32) {
	objective.QueryGradient(dq, weighted, positives, f.merged.PPlus[lo:lo+len(dq)/f.d], f.d, f.tau, scale)
}

func (f *infonceForm) chance(m Metrics) { m["chanceLoss"] = keyed.Log(float64(f.size + 1)) }

// apartForm is one of those that treat the positive apart.
type apartForm struct {
	size, d int
	parts   []*objective.ApartPart
	merged  objective.ApartMerge
}

func (f *apartForm) width() int     { return 4 }
func (f *apartForm) bound() float32 { return f.merged.Bound() }

func (f *apartForm) compute(i int, queries []float32, keys objective.Drawn, figures []float32) []float32 {
	p := f.parts[i]
	p.Compute(queries, keys)
	return append(append(append(append(figures, p.M...), p.Hard...), p.Weights...), p.Count...)
}

func (f *apartForm) merge(cosines []float32, kinds [][][]float32) (loss, positive float64, finite bool) {
	finite = f.merged.Merge(cosines, kinds[0], kinds[1], kinds[2], kinds[3])
	return f.merged.Loss, f.merged.Positive, finite
}

func (f *apartForm) share(i int) []float32 {
	f.merged.Weigh(f.parts[i], f.d)
	return f.parts[i].O
}

func (f *apartForm) gradient(dq, weighted, positives []float32, lo int, scale float32) {
	f.merged.QueryGradient(dq, weighted, positives, lo, f.d, scale)
}

func (f *apartForm) chance(m Metrics) { apartChance(m, f.merged.Form, f.size) }

// apartChance is the loss of chance among n negatives. It tells nothing of hard ones: they weigh more where samples differ, and the loss of a model that
// learns may lie above.
func apartChance(m Metrics, x *objective.Negatives, n int) {
	switch {
	case x.Decoupled:
		m["chanceLoss"] = keyed.Log(float64(n))
	case x.Beta == 0:
		m["chanceLoss"] = keyed.Log(float64(n + 1))
	}
}
