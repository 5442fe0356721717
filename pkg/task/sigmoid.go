package task

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// learnedForm is a form of the loss with parameters of its own.
type learnedForm interface {
	batchForm
	state() []Var
	group() ParameterGroup
	// slopes writes the gradient by the form's parameters that the i-th owned virtual rank has, given the figures of its rows, first views
	// before second ones.
	slopes(i int, figures []float32)
	// measure adds what an operator wants to know of the parameters.
	measure(m Metrics)
}

// lossName is the name under which a task keeps the parameters of its loss.
const lossName = "loss"

// sigmoidForm tells of each pair of a first and a second view whether they belong together, with a learned scale and bias.
type sigmoidForm struct {
	rows     objective.Sigmoid
	learned  *nn.Arena       // logarithm of the scale, and the bias
	grads    []*tensor.Dense // (2) for each owned virtual rank
	negative float64         // mean cosine of the pairs that do not belong together
}

func newSigmoidForm(c Config, e Environment) (*sigmoidForm, error) {
	if c.InitialBias < -1000 || c.InitialBias > 1000 {
		return nil, fmt.Errorf("make task %s: initial bias is %v, expected in [−1000, 1000]", c.Name, c.InitialBias)
	}
	values := []float32{float32(keyed.Log(1 / c.Temperature)), float32(c.InitialBias)}
	f := &sigmoidForm{learned: &nn.Arena{Data: values}}
	for i, name := range []string{"logScale", "bias"} {
		f.learned.Params = append(f.learned.Params, nn.Param{
			Name: name, Shape: []int{1}, Offset: i, Len: 1, Value: tensor.New(tensor.WithShape(1), tensor.WithBacking(values[i:i+1:i+1])),
		})
	}
	for range e.owned() {
		f.grads = append(f.grads, zeros(len(values)))
	}
	return f, nil
}

func (f *sigmoidForm) state() (vars []Var) {
	for _, p := range f.learned.Params {
		vars = append(vars, Var{Name: lossName + "." + p.Name, Value: p.Value})
	}
	return vars
}

func (f *sigmoidForm) group() ParameterGroup {
	return ParameterGroup{Name: lossName, Parameters: f.learned, Grads: f.grads, Plain: true}
}

func (f *sigmoidForm) width() int { return objective.SigmoidFigures }

func (f *sigmoidForm) over(rows objective.NTXent) {
	f.rows.Z, f.rows.D = rows.Z, rows.D
	f.rows.Scale, f.rows.Bias = float32(keyed.Exp(float64(f.learned.Data[0]))), f.learned.Data[1]
}

func (f *sigmoidForm) sums(figures []float32, lo int) { f.rows.Figures(figures, lo) }
func (f *sigmoidForm) gradient(dz []float32, lo int)  { f.rows.Gradient(dz, lo) }

func (f *sigmoidForm) loss(figures []float32) (loss, positive float64, finite bool) {
	loss, positive, f.negative, finite = f.rows.Loss(figures)
	return loss, positive, finite
}

func (f *sigmoidForm) slopes(i int, figures []float32) {
	byScale, byBias := f.rows.Slopes(figures)
	copy(f.grads[i].Float32s(), []float32{float32(byScale), float32(byBias)})
}

// chance tells nothing: the loss starts above that of chance, where the bias does, and comes down as the bias is learned.
func (f *sigmoidForm) chance(Metrics, int) {}

// measure tells the parameters that the step has gone by.
func (f *sigmoidForm) measure(m Metrics) {
	m["negativeSimilarity"], m["scale"], m["bias"] = f.negative, float64(f.rows.Scale), float64(f.rows.Bias)
}
