package task

import (
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
func newBatchForm(c Config, e Environment) (batchForm, error) {
	switch c.Loss {
	case "ntxent":
		return &ntxentForm{}, nil
	case "supcon":
		return &supconForm{}, nil
	case "crossview":
		return &ntxentForm{crossView: true}, nil
	case "sigmoid":
		return newSigmoidForm(c, e)
	}
	settings, err := newNegatives(c, "ntxent, supcon, crossview, sigmoid")
	if err != nil {
		return nil, err
	}
	return &negativesForm{rows: *settings}, nil
}

// ntxentForm has one figure a row: its log-sum-exp.
type ntxentForm struct {
	rows      objective.NTXent
	lse       []float32
	crossView bool
}

func (f *ntxentForm) width() int                     { return 1 }
func (f *ntxentForm) sums(figures []float32, lo int) { f.rows.LogSumExp(figures, lo) }
func (f *ntxentForm) gradient(dz []float32, lo int)  { f.rows.Gradient(dz, f.lse, lo) }

func (f *ntxentForm) over(rows objective.NTXent) {
	f.rows = rows
	f.rows.CrossView = f.crossView
}

func (f *ntxentForm) chance(m Metrics, b int) {
	others := 2*b - 1
	if f.crossView {
		others = b
	}
	m["chanceLoss"] = keyed.Log(float64(others))
}

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

func (f *negativesForm) chance(m Metrics, b int) { apartChance(m, &f.rows, 2*b-2) }

// labelledForm is a form of the loss that reads the samples' labels.
type labelledForm interface {
	batchForm
	// label takes those of the global batch, after over.
	label(labels []uint64)
}

// supconForm has one figure a row: its log-sum-exp.
type supconForm struct {
	rows     objective.SupCon
	lse      []float32
	negative float64 // mean cosine of rows of different labels
}

func (f *supconForm) width() int                     { return 1 }
func (f *supconForm) over(rows objective.NTXent)     { f.rows.NTXent = rows }
func (f *supconForm) label(labels []uint64)          { f.rows.Label(labels) }
func (f *supconForm) sums(figures []float32, lo int) { f.rows.LogSumExp(figures, lo) }
func (f *supconForm) gradient(dz []float32, lo int)  { f.rows.Gradient(dz, f.lse, lo) }

func (f *supconForm) loss(figures []float32) (loss, positive float64, finite bool) {
	f.lse = figures
	loss, positive, f.negative, finite = f.rows.Loss(figures)
	return loss, positive, finite
}

func (f *supconForm) chance(m Metrics, b int) {
	m["chanceLoss"], m["negativeSimilarity"] = keyed.Log(float64(2*b-1)), f.negative
}
