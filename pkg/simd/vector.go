package simd

import "fmt"

// sumRun is the number of elements that one chain of partial sums covers. Longer vectors are cut in runs of it, and the results
// of the runs are added in order in float64: the error then grows with the run, not with the vector.
const sumRun = 4096

func wantLen(op, name string, s []float32, n int) {
	if len(s) < n {
		panic(fmt.Sprintf("simd: %s: %s has %d elements, the operation covers %d", op, name, len(s), n))
	}
}

// Add computes dst[i] += x[i] over all of x.
func Add(dst, x []float32) {
	wantLen("Add", "dst", dst, len(x))
	elements(dst[:len(x)], x, x, func(dst, x, _ []float32) { addTo(dst, x) })
}

// Mul computes dst[i] *= x[i] over all of x.
func Mul(dst, x []float32) {
	wantLen("Mul", "dst", dst, len(x))
	elements(dst[:len(x)], x, x, func(dst, x, _ []float32) { mulBy(dst, x) })
}

// Axpy computes dst[i] += a·x[i] over all of x.
func Axpy(dst []float32, a float32, x []float32) {
	wantLen("Axpy", "dst", dst, len(x))
	axpy(dst[:len(x)], a, x)
}

// Scale computes dst[i] *= a.
func Scale(dst []float32, a float32) { scale(dst, a) }

// Blend computes dst[i] = (x[i]·a + y[i]·b) + c over all of x, in the order x·a + (y·b + c); dst may be x or y.
func Blend(dst, x, y []float32, a, b, c float32) {
	wantLen("Blend", "dst", dst, len(x))
	wantLen("Blend", "y", y, len(x))
	blend(dst[:len(x)], x, y[:len(x)], a, b, c)
}

// Dot returns Σ x[i]·y[i] over all of x. Element i is summed in lane i mod 32 of its run of 4096 elements.
func Dot(x, y []float32) float32 {
	wantLen("Dot", "y", y, len(x))
	total := 0.0
	for len(x) > sumRun {
		total += float64(dotBlock(x[:sumRun], y[:sumRun]))
		x, y = x[sumRun:], y[sumRun:]
	}
	return float32(total + float64(dotBlock(x, y[:len(x)])))
}

// Sum returns Σ x[i]. Element i is summed in lane i mod 32 of its run of 4096 elements.
func Sum(x []float32) float32 {
	total := 0.0
	for len(x) > sumRun {
		total += float64(sumBlock(x[:sumRun]))
		x = x[sumRun:]
	}
	return float32(total + float64(sumBlock(x)))
}

// Max returns the largest element; −Inf for an empty slice. NaN elements are passed over, and a result of zero is +0.
func Max(x []float32) float32 { return maxOf(x) + 0 }

// ReLU computes y[i] = max(x[i], 0) over all of x; y may be x. NaN stays NaN.
func ReLU(y, x []float32) {
	wantLen("ReLU", "y", y, len(x))
	elements(y[:len(x)], x, x, func(y, x, _ []float32) { relu(y, x) })
}

// ReLUBackward computes dx[i] = dy[i] where y[i] > 0, else 0, over all of dy. y is the output of [ReLU]; dx may be dy.
func ReLUBackward(dx, dy, y []float32) {
	wantLen("ReLUBackward", "dx", dx, len(dy))
	wantLen("ReLUBackward", "y", y, len(dy))
	elements(dx[:len(dy)], dy, y[:len(dy)], reluBackward)
}
