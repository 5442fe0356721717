package evaluate

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"gorgonia.org/tensor"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func dense(x []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

// normals is a tensor of normal draws.
func normals(seed uint64, shape ...int) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	x := make([]float32, n)
	key := keyed.New(seed)
	for i := range x {
		x[i] = float32(key.Normal(uint64(i)))
	}
	return dense(x, shape...)
}

// blobs is n points in d dimensions around one centre for each of c classes, which are labelled 10, 13, 16 ….
func blobs(seed uint64, n, d, c int, spread float32) Set {
	centres := normals(999, c, d).Float32s()
	x := normals(seed, n, d)
	labels := make([]int, n)
	for i := range n {
		class := i * 7 % c
		labels[i] = 10 + 3*class
		for j := range d {
			v := &x.Float32s()[i*d+j]
			*v = *v*spread + centres[class*d+j] + 3 // off centre, so that standardising matters
		}
	}
	return Set{x, labels}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
