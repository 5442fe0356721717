package task

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
)

// batchForm is a form of the loss over the rows of a global batch: figures of each row, which travel, then a gradient of each row from its
// own part and everybody's figures.
type batchForm interface {
	// width is the number of figures of a row.
	width() int
	// over takes the rows of a step.
	over(rows objective.NTXent)
	// sums writes the figures of the rows from lo on.
	sums(figures []float32, lo int)
	// loss takes the figures of all rows; positive is the mean cosine of the positives.
	loss(figures []float32) (loss, positive float64, finite bool)
	// gradient writes that of the rows from lo on, after loss.
	gradient(dz []float32, lo int)
	// chance adds the loss of a model to which all samples of a batch of b look alike, where the loss should be below it.
	chance(m Metrics, b int)
}

// newBatchForm makes the form that a job names.
func newBatchForm(c Config) (batchForm, error) {
	switch c.Loss {
	case "ntxent":
		return &ntxentForm{}, nil
	case "dcl":
		return &negativesForm{rows: objective.Negatives{Decoupled: true}}, nil
	case "debiased":
		c.Beta = 0
	case "hard":
		if !(c.Beta > 0) {
			return nil, fmt.Errorf("make task simclr: beta is %v, expected above 0 with loss hard", c.Beta)
		}
	default:
		return nil, fmt.Errorf("make task simclr: loss %q, expected ntxent, dcl, debiased or hard", c.Loss)
	}
	if !(c.TauPlus >= 0 && c.TauPlus < 1) {
		return nil, fmt.Errorf("make task simclr: tauPlus is %v, expected in [0, 1)", c.TauPlus)
	}
	return &negativesForm{rows: objective.Negatives{TauPlus: c.TauPlus, Beta: c.Beta}}, nil
}

// ntxentForm has one figure a row: its log-sum-exp.
type ntxentForm struct {
	rows objective.NTXent
	lse  []float32
}

func (f *ntxentForm) width() int                     { return 1 }
func (f *ntxentForm) over(rows objective.NTXent)     { f.rows = rows }
func (f *ntxentForm) sums(figures []float32, lo int) { f.rows.LogSumExp(figures, lo) }
func (f *ntxentForm) gradient(dz []float32, lo int)  { f.rows.Gradient(dz, f.lse, lo) }
func (f *ntxentForm) chance(m Metrics, b int)        { m["chanceLoss"] = keyed.Log(float64(2*b - 1)) }

func (f *ntxentForm) loss(figures []float32) (loss, positive float64, finite bool) {
	f.lse = figures
	return f.rows.Loss(figures)
}

// negativesForm is one of those that treat the positive apart.
type negativesForm struct {
	rows  objective.Negatives
	pulls objective.Pulls
}

func (f *negativesForm) width() int                     { return objective.Figures }
func (f *negativesForm) over(rows objective.NTXent)     { f.rows.NTXent = rows }
func (f *negativesForm) sums(figures []float32, lo int) { f.rows.Sums(figures, lo) }
func (f *negativesForm) gradient(dz []float32, lo int)  { f.rows.Gradient(dz, &f.pulls, lo) }

func (f *negativesForm) loss(figures []float32) (loss, positive float64, finite bool) {
	return f.rows.Loss(figures, &f.pulls)
}

// chance tells nothing of hard negatives: they weigh more where samples differ, and the loss of a model that learns may lie above.
func (f *negativesForm) chance(m Metrics, b int) {
	switch {
	case f.rows.Decoupled:
		m["chanceLoss"] = keyed.Log(float64(2*b - 2))
	case f.rows.Beta == 0:
		m["chanceLoss"] = keyed.Log(float64(2*b - 1))
	}
}
