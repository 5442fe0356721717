package evaluate

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
	"gonum.org/v1/gonum/mat"
	"gorgonia.org/tensor"
)

// Alignment is the mean squared distance between rows i of a and b, (N, D), scaled to length 1: how far two views of one sample lie apart,
// 0 … 4 (Wang and Isola, "Understanding contrastive representation learning through alignment and uniformity on the hypersphere", ICML 2020).
func Alignment(a, b *tensor.Dense) (float64, error) {
	x, err := toMatrix("embeddings of view 1", a)
	if err != nil {
		return 0, fmt.Errorf("alignment: %w", err)
	}
	y, err := toMatrix("embeddings of view 2", b)
	if err != nil {
		return 0, fmt.Errorf("alignment: %w", err)
	}
	if x.rows != y.rows || x.cols != y.cols {
		return 0, fmt.Errorf("alignment: shapes (%d, %d) and (%d, %d): expected one shape", x.rows, x.cols, y.rows, y.cols)
	}
	x, y = normalised(x), normalised(y)
	sum := 0.0
	for i, v := range x.data {
		d := float64(v) - float64(y.data[i])
		sum += d * d
	}
	return sum / float64(x.rows), nil
}

// Uniformity is log of the mean of exp(−2‖x − y‖²) over all pairs of different rows of z, (N, D), scaled to length 1: 0 if all are equal, the
// lower the more evenly they cover the sphere (Wang and Isola, as above, t = 2).
func Uniformity(z *tensor.Dense) (float64, error) {
	x, err := pairs("uniformity", z)
	if err != nil {
		return 0, err
	}
	// ‖x − y‖² = 2 − 2·x·y, so the exponent is 4·(x·y − 1). Only pairs with row < column count.
	sum := 0.0
	scores := make([]float32, min(chunk, x.rows)*x.rows)
	partial := make([]float64, chunk)
	for r := 0; r < x.rows; r += chunk {
		rows, cols := min(chunk, x.rows-r), x.rows-r
		simd.Gemm(false, true, rows, cols, x.cols, 4, x.data[r*x.cols:], x.cols, x.data[r*x.cols:], x.cols, 0, scores, cols)
		simd.Parallel(rows, func(i int) {
			row := scores[i*cols+i+1 : (i+1)*cols]
			partial[i] = float64(simd.ExpSum(row, row, 4))
		})
		for _, s := range partial[:rows] {
			sum += s
		}
	}
	return keyed.Log(sum / (float64(x.rows) * float64(x.rows-1) / 2)), nil
}

// MeanCosine is the mean cosine of all pairs of different rows of z, (N, D): near 0 for healthy embeddings, 1 if all point one way.
func MeanCosine(z *tensor.Dense) (float64, error) {
	x, err := pairs("mean cosine", z)
	if err != nil {
		return 0, err
	}
	sum := make([]float64, x.cols)
	squares := 0.0 // N, save for zero rows
	for i := range x.rows {
		for j, v := range x.row(i) {
			sum[j] += float64(v)
			squares += float64(v) * float64(v)
		}
	}
	all := 0.0
	for _, s := range sum {
		all += s * s
	}
	return (all - squares) / (float64(x.rows) * float64(x.rows-1)), nil
}

// EffectiveRank is the exponential of the entropy of the normalised singular values of z, (N, D), after its rows were scaled to length 1 and
// centred (Roy and Vetterli, "The effective rank", EUSIPCO 2007): the number of directions that are in use. It is 0 if all rows are equal.
func EffectiveRank(z *tensor.Dense) (float64, error) {
	x, err := pairs("effective rank", z)
	if err != nil {
		return 0, err
	}
	c := mat.NewDense(x.rows, x.cols, nil)
	for j := range x.cols {
		mean := 0.0
		for i := range x.rows {
			mean += float64(x.data[i*x.cols+j]) / float64(x.rows)
		}
		for i := range x.rows {
			c.Set(i, j, float64(x.data[i*x.cols+j])-mean)
		}
	}
	// Squared singular values are the eigenvalues of the smaller of the two Gram matrices.
	gram := mat.NewSymDense(min(x.rows, x.cols), nil)
	if x.cols <= x.rows {
		gram.SymOuterK(1, c.T())
	} else {
		gram.SymOuterK(1, c)
	}
	if mat.Trace(gram) < 1e-12*float64(x.rows) { // what float32 rounding leaves of equal rows
		return 0, nil
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return 0, fmt.Errorf("effective rank: the eigenvalues of a %d×%d Gram matrix did not converge", gram.SymmetricDim(), gram.SymmetricDim())
	}
	values := eigen.Values(nil)
	total := 0.0
	for i, v := range values {
		values[i] = math.Sqrt(max(v, 0))
		total += values[i]
	}
	entropy := 0.0
	for _, v := range values {
		p := v / total
		entropy -= p * keyed.Log(p+1e-12)
	}
	return keyed.Exp(entropy), nil
}

// pairs reads embeddings of at least two rows and scales them to length 1.
func pairs(what string, z *tensor.Dense) (matrix, error) {
	x, err := toMatrix("embeddings", z)
	if err != nil {
		return x, fmt.Errorf("%s: %w", what, err)
	}
	if x.rows < 2 {
		return x, fmt.Errorf("%s of %d embedding: expected at least 2", what, x.rows)
	}
	return normalised(x), nil
}

// Healthy tells whether the collapse measures of a result of Run are those of embeddings that carry information, and if not, which is not and
// what that means. Trained models reach a mean cosine below 0.15, a uniformity below −2 and an effective rank of 15 and more, collapsed ones a
// mean cosine above 0.8. A model that learns begins in a narrow cone of many directions (a mean cosine of 0.6 and an effective rank of 16 after a
// tenth of the run), so between the bounds of the two the neighbours decide: whether they tell the classes better than the untrained model's, the floor
// that result holds as MetricUntrainedKNN. Without that floor, what is not healthy is collapsed.
func Healthy(result map[string]float64) (healthy bool, reason string) {
	knn, measured := result[MetricKNN]
	floor, known := result[MetricUntrainedKNN]
	learns := measured && known && knn > floor
	for _, m := range []struct {
		name               string
		healthy, collapsed float64
		above              bool // what is healthy lies above the bound
		means              string
	}{
		{MetricMeanCosine, 0.5, 0.75, false, "the embeddings of different samples point the same way"},
		{MetricUniformity, -1, -0.5, false, "the embeddings cover little of the sphere"},
		{MetricEffectiveRank, 4, 4, true, "the embeddings use few directions"},
	} {
		v, ok := result[m.name]
		bound, expect, within := m.healthy, "below", func(bound float64) bool { return v < bound }
		if learns {
			bound = m.collapsed
		}
		if m.above {
			expect, within = "above", func(bound float64) bool { return v > bound }
		}
		if !ok {
			return false, m.name + " was not measured"
		}
		if !within(bound) {
			return false, fmt.Sprintf("collapse: %s is %.3g, expected %s %g: %s", m.name, v, expect, bound, m.means)
		}
	}
	return true, ""
}
