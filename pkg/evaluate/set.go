// Package evaluate measures what an encoder has learned, on frozen features: weighted nearest neighbours and a linear probe, each beside the
// floors that raw pixels and an untrained model reach, and measures of collapse on embeddings. Everything runs in fixed chunks and breaks ties by
// index, so that one machine profile gives one result; it is outside the digest and never feeds back into training.
package evaluate

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"
)

// chunk is the number of images that are encoded, and of rows that are compared, at a time.
const chunk = 500

// Set is features (N, F) with one label for each row. Labels are any integers.
type Set struct {
	Features *tensor.Dense
	Labels   []int
}

// matrix is a tensor's values, (rows, cols) row-major.
type matrix struct {
	data       []float32
	rows, cols int
}

func (m matrix) row(i int) []float32 { return m.data[i*m.cols : (i+1)*m.cols] }

// toMatrix reads (N, …) as N rows. It checks that every value is finite.
func toMatrix(what string, t *tensor.Dense) (matrix, error) {
	shape := t.Shape()
	if len(shape) < 2 || t.Dtype() != tensor.Float32 || shape[0] < 1 || t.RequiresIterator() {
		return matrix{}, fmt.Errorf("%s: a %v tensor of shape %v: expected contiguous float32 of shape (N, F) with at least one row", what, t.Dtype(), shape)
	}
	m := matrix{data: t.Float32s(), rows: shape[0], cols: shape.TotalSize() / shape[0]}
	for i, v := range m.data {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 { // the exponent of NaN and ±Inf
			return matrix{}, fmt.Errorf("%s: row %d holds %v: expected finite values", what, i/m.cols, v)
		}
	}
	return m, nil
}

// pair checks a training and a test set against each other.
func pair(train, test Set) (a, b matrix, err error) {
	if a, err = toMatrix("training features", train.Features); err != nil {
		return a, b, err
	}
	if b, err = toMatrix("test features", test.Features); err != nil {
		return a, b, err
	}
	switch {
	case a.cols != b.cols:
		err = fmt.Errorf("training features are %d wide and test features %d: expected one width", a.cols, b.cols)
	case len(train.Labels) != a.rows:
		err = fmt.Errorf("%d training features have %d labels", a.rows, len(train.Labels))
	case len(test.Labels) != b.rows:
		err = fmt.Errorf("%d test features have %d labels", b.rows, len(test.Labels))
	}
	return a, b, err
}

// classes maps labels to 0 … n−1 in ascending order. A label that is not among those of known gets −1.
func classes(labels, known []int) (index []int, n int) {
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	index = make([]int, len(labels))
	for i, l := range labels {
		at, ok := slices.BinarySearch(sorted, l)
		if !ok {
			at = -1
		}
		index[i] = at
	}
	return index, len(sorted)
}

// inverseNorms is 1/‖row‖ for each row, and 0 for zero rows.
func inverseNorms(m matrix) []float32 {
	out := make([]float32, m.rows)
	for i := range out {
		var s float64
		for _, v := range m.row(i) {
			s += float64(v) * float64(v)
		}
		if s > 0 {
			out[i] = float32(1 / math.Sqrt(s))
		}
	}
	return out
}

// normalised is m with rows of length 1; zero rows stay.
func normalised(m matrix) matrix {
	out := matrix{make([]float32, len(m.data)), m.rows, m.cols}
	for i, inverse := range inverseNorms(m) {
		dst := out.row(i)
		for j, v := range m.row(i) {
			dst[j] = v * inverse
		}
	}
	return out
}

// argmax is the index of the largest value, the first among equals.
func argmax[T float32 | float64](x []T) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
