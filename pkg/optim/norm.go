package optim

import (
	"math"

	"github.com/sslctl/sslctl/pkg/simd"
)

// Norm computes Euclidean norms. It keeps its scratch, so that computing one allocates nothing, and is for one goroutine.
type Norm struct {
	sums []float64 // of each run of the vector at hand, Σ x²
	x    []float32
	sum  func(i int)
}

// NewNorm makes a Norm for vectors of up to size elements.
func NewNorm(size int) *Norm {
	n := &Norm{sums: make([]float64, (size+runLength-1)/runLength)}
	n.sum = func(i int) { n.sums[i] = simd.Squares(n.x[i*runLength : min((i+1)*runLength, len(n.x))]) }
	return n
}

// Of returns ‖x‖. The squares are summed in float64 by run and in the order of the runs. It panics where x is longer than size.
func (n *Norm) Of(x []float32) float64 {
	n.x = x
	parts := n.sums[:(len(x)+runLength-1)/runLength]
	simd.Parallel(len(parts), n.sum)
	n.x = nil
	total := 0.0
	for _, s := range parts {
		total += s
	}
	return math.Sqrt(total)
}
