package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sslctl/sslctl/pkg/simd"
	"gonum.org/v1/gonum/optimize"
)

// Probe says how a linear probe is trained.
type Probe struct {
	L2         float64 // factor of the squared norm of the weights
	Iterations int     // of L-BFGS, at most
}

// LinearProbe is the accuracy (top-1, a fraction) on the test set of multinomial logistic regression trained on the training set. Features are
// standardised by mean and unbiased standard deviation + 1e-6 of the training set; the loss is the mean cross-entropy + L2·‖W‖², the bias is
// free. L-BFGS with a history of 10 starts at zero and stops after Iterations, or when the gradient falls below 1e-6 or the loss by less than
// 1e-9 in three iterations. Among equal scores the smallest label counts. Products are float32 (their error is far below what moves a decision of
// a regularised probe), everything else float64.
func LinearProbe(ctx context.Context, train, test Set, o Probe) (float64, error) {
	a, b, err := pair(train, test)
	if err != nil {
		return 0, fmt.Errorf("linear probe: %w", err)
	}
	if !(o.L2 >= 0) || o.Iterations < 1 {
		return 0, fmt.Errorf("linear probe with l2 %v and %d iterations: expected l2 of at least 0 and at least 1 iteration", o.L2, o.Iterations)
	}
	labels, n := classes(train.Labels, train.Labels)
	want, _ := classes(test.Labels, train.Labels)
	scale := fitStandard(a)
	p := &probe{x: scale.apply(a), labels: labels, classes: n, l2: o.L2}
	w, err := p.fit(ctx, o.Iterations)
	if err != nil {
		return 0, fmt.Errorf("linear probe: %w", err)
	}
	right := 0
	logits := make([]float32, chunk*n)
	for q := 0; q < b.rows; q += chunk {
		part := matrix{b.data[q*b.cols:], min(chunk, b.rows-q), b.cols}
		part.data = part.data[:part.rows*part.cols]
		p.scores(logits, scale.apply(part), w)
		for i := range part.rows {
			if argmax(logits[i*n:(i+1)*n]) == want[q+i] {
				right++
			}
		}
	}
	return float64(right) / float64(b.rows), nil
}

// standard maps features to mean 0 and standard deviation 1.
type standard struct{ mean, inverse []float64 }

func fitStandard(m matrix) standard {
	s := standard{make([]float64, m.cols), make([]float64, m.cols)}
	for i := range m.rows {
		for j, v := range m.row(i) {
			s.mean[j] += float64(v)
		}
	}
	for j := range s.mean {
		s.mean[j] /= float64(m.rows)
	}
	for i := range m.rows {
		for j, v := range m.row(i) {
			d := float64(v) - s.mean[j]
			s.inverse[j] += d * d
		}
	}
	for j, squares := range s.inverse {
		s.inverse[j] = 1 / (math.Sqrt(squares/float64(max(1, m.rows-1))) + 1e-6)
	}
	return s
}

func (s standard) apply(m matrix) matrix {
	out := matrix{make([]float32, m.rows*m.cols), m.rows, m.cols}
	simd.Parallel((m.rows+chunk-1)/chunk, func(c int) {
		for i := c * chunk; i < min(m.rows, (c+1)*chunk); i++ {
			dst := out.row(i)
			for j, v := range m.row(i) {
				dst[j] = float32((float64(v) - s.mean[j]) * s.inverse[j])
			}
		}
	})
	return out
}

// probe is the objective. Its parameters are the weights (F, classes) row-major, then the biases.
type probe struct {
	x       matrix
	labels  []int
	classes int
	l2      float64

	at       []float64 // where residual was computed
	weights  []float32
	residual []float32 // (N, classes): probabilities − one-hot labels
	gradient []float32
	losses   []float64 // by chunk
}

func (p *probe) size() int { return (p.x.cols + 1) * p.classes }

// fit returns the best parameters that it finds.
func (p *probe) fit(ctx context.Context, iterations int) ([]float64, error) {
	p.weights, p.gradient = make([]float32, p.x.cols*p.classes), make([]float32, p.x.cols*p.classes)
	p.residual = make([]float32, p.x.rows*p.classes)
	p.losses = make([]float64, (p.x.rows+chunk-1)/chunk)
	problem := optimize.Problem{Func: p.loss, Grad: p.grad, Status: func() (optimize.Status, error) {
		if err := ctx.Err(); err != nil {
			return optimize.Failure, err
		}
		return optimize.NotTerminated, nil
	}}
	settings := &optimize.Settings{
		GradientThreshold: 1e-6,
		Converger:         &optimize.FunctionConverge{Absolute: 1e-9, Iterations: 3},
		MajorIterations:   iterations,
		FuncEvaluations:   iterations + iterations/4 + 5, // what line searches need beyond one a step
	}
	result, err := optimize.Minimize(problem, make([]float64, p.size()), settings, &optimize.LBFGS{Store: 10, Linesearcher: &optimize.MoreThuente{}})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// A line search that ends in rounding noise is no failure: what it started from is as good as float32 products can tell.
	if result == nil || math.IsNaN(result.F) || math.IsInf(result.F, 0) {
		return nil, fmt.Errorf("minimise the loss: no finite value found (%v)", err)
	}
	return result.X, nil
}

// scores sets logits (rows of x, classes) to x·W + b.
func (p *probe) scores(logits []float32, x matrix, params []float64) {
	n := p.classes
	for i := range p.weights {
		p.weights[i] = float32(params[i])
	}
	bias := params[len(p.weights):]
	for i := range x.rows {
		for c := range n {
			logits[i*n+c] = float32(bias[c])
		}
	}
	simd.Gemm(false, false, x.rows, n, x.cols, 1, x.data, x.cols, p.weights, n, 1, logits, n)
}

// loss evaluates the objective and leaves the residuals for grad, which is asked for the same place next.
func (p *probe) loss(params []float64) float64 {
	n := p.classes
	p.scores(p.residual, p.x, params)
	simd.Parallel(len(p.losses), func(part int) {
		var loss float64
		for i := part * chunk; i < min(p.x.rows, (part+1)*chunk); i++ {
			row := p.residual[i*n : (i+1)*n]
			best := row[argmax(row)]
			own := row[p.labels[i]] - best
			sum := simd.ExpSum(row, row, best)
			loss += float64(simd.Log(sum)) - float64(own)
			for c := range row {
				row[c] /= sum
			}
			row[p.labels[i]]--
		}
		p.losses[part] = loss
	})
	total := 0.0
	for _, l := range p.losses {
		total += l
	}
	total /= float64(p.x.rows)
	squares := 0.0
	for _, w := range params[:len(p.weights)] {
		squares += w * w
	}
	p.at = append(p.at[:0], params...)
	return total + p.l2*squares
}

// grad sets g to the gradient at params.
func (p *probe) grad(g, params []float64) {
	if !slices.Equal(p.at, params) {
		p.loss(params)
	}
	n, f := p.classes, p.x.cols
	simd.Gemm(true, false, f, n, p.x.rows, 1/float32(p.x.rows), p.x.data, f, p.residual, n, 0, p.gradient, n)
	for i, v := range p.gradient {
		g[i] = float64(v) + 2*p.l2*params[i]
	}
	bias := g[len(p.gradient):]
	clear(bias)
	for i, v := range p.residual {
		bias[i%n] += float64(v)
	}
	for c := range bias {
		bias[c] /= float64(p.x.rows)
	}
}
