package evaluate

import (
	"context"
	"errors"
	"math"
	"sort"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// referenceKNN is the definition in float64, one pair at a time.
func referenceKNN(train, test Set, k int, temperature float64) float64 {
	d := train.Features.Shape()[1]
	row := func(t *tensor.Dense, i int) []float32 { return t.Float32s()[i*d : (i+1)*d] }
	cosine := func(a, b []float32) float64 {
		var ab, aa, bb float64
		for i := range a {
			ab += float64(a[i]) * float64(b[i])
			aa += float64(a[i]) * float64(a[i])
			bb += float64(b[i]) * float64(b[i])
		}
		return ab / math.Sqrt(aa*bb)
	}
	right := 0
	for i, want := range test.Labels {
		s := make([]float64, len(train.Labels))
		order := make([]int, len(s))
		for j := range s {
			s[j], order[j] = cosine(row(test.Features, i), row(train.Features, j)), j
		}
		sort.SliceStable(order, func(a, b int) bool { return s[order[a]] > s[order[b]] })
		votes := map[int]float64{}
		for _, j := range order[:min(k, len(order))] {
			votes[train.Labels[j]] += math.Exp(s[j] / temperature)
		}
		best, bestLabel := -1.0, 0
		for label, v := range votes {
			if v > best {
				best, bestLabel = v, label
			}
		}
		if bestLabel == want {
			right++
		}
	}
	return float64(right) / float64(len(test.Labels))
}

func TestKNNEqualsTheDefinition(t *testing.T) {
	// More rows than a chunk on either side.
	train, test := blobs(1, 2100, 8, 5, 2.5), blobs(2, 510, 8, 5, 2.5)
	for _, c := range []struct {
		k           int
		temperature float64
	}{{1, 0.1}, {20, 0.1}, {200, 1}, {20, 0.005}} {
		got, err := KNN(t.Context(), train, test, c.k, c.temperature)
		check(t, err)
		if want := referenceKNN(train, test, c.k, c.temperature); !near(got, want, 0.0021) { // one test row may sit on a tie in float32
			t.Errorf("k %d, temperature %v: %v, want %v", c.k, c.temperature, got, want)
		}
		if got < 0.4 || got > 0.95 {
			t.Errorf("k %d: accuracy %v says little", c.k, got)
		}
	}
}

func TestKNNBreaksTiesByIndex(t *testing.T) {
	// All training rows point the same way: the first k vote, and of two equal votes the smaller label wins.
	train := Set{dense([]float32{1, 0, 2, 0, 4, 0, 8, 0}, 4, 2), []int{9, 4, 4, 4}}
	test := Set{dense([]float32{1, 1}, 1, 2), []int{9}}
	for k, want := range map[int]float64{1: 1, 2: 0, 3: 0} {
		got, err := KNN(t.Context(), train, test, k, 0.1)
		check(t, err)
		if got != want {
			t.Errorf("k %d: %v, want %v", k, got, want)
		}
	}
	// More neighbours than rows: all vote. A label that training does not have is wrong. A zero row has cosine 0 with everything.
	got, err := KNN(t.Context(), train, Set{dense([]float32{1, 1, 1, 0, 0, 0}, 3, 2), []int{4, 77, 4}}, 50, 0.1)
	check(t, err)
	if !near(got, 2./3, 1e-12) {
		t.Errorf("accuracy %v, want 2/3", got)
	}
}

func TestResultsDoNotDependOnThreads(t *testing.T) {
	train, test := blobs(1, 1500, 16, 4, 4), blobs(2, 600, 16, 4, 4)
	defer simd.SetThreads(0)
	var knn, linear, uniform float64
	for i, threads := range []int{1, 2, 5} {
		simd.SetThreads(threads)
		k, err := KNN(t.Context(), train, test, 20, 0.1)
		check(t, err)
		l, err := LinearProbe(t.Context(), train, test, Probe{1e-4, 100})
		check(t, err)
		u, err := Uniformity(train.Features)
		check(t, err)
		if i > 0 && (k != knn || l != linear || u != uniform) {
			t.Errorf("%d threads give %v, %v, %v; one gave %v, %v, %v", threads, k, l, u, knn, linear, uniform)
		}
		knn, linear, uniform = k, l, u
	}
}

func TestRefusals(t *testing.T) {
	good := blobs(1, 10, 3, 2, 1)
	nan := blobs(1, 10, 3, 2, 1)
	nan.Features.Float32s()[17] = float32(math.Inf(1))
	for want, c := range map[string]struct{ train, test Set }{
		"training features: row 5 holds +Inf":       {nan, good},
		"test features: row 5 holds +Inf":           {good, nan},
		"10 training features have 9 labels":        {Set{good.Features, good.Labels[:9]}, good},
		"10 test features have 0 labels":            {good, Set{good.Features, nil}},
		"3 wide and test features 2":                {good, blobs(1, 10, 2, 2, 1)},
		"expected contiguous float32 of shape (N,":  {Set{dense([]float32{1}, 1), []int{1}}, good},
		"a float64 tensor of shape (1, 1): expecte": {Set{tensor.New(tensor.WithShape(1, 1), tensor.WithBacking([]float64{1})), []int{1}}, good},
	} {
		if _, err := KNN(t.Context(), c.train, c.test, 5, 0.1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("KNN: %v, want an error with %q", err, want)
		}
		if _, err := LinearProbe(t.Context(), c.train, c.test, Probe{1e-4, 10}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LinearProbe: %v, want an error with %q", err, want)
		}
	}
	if _, err := KNN(t.Context(), good, good, 0, 0.1); err == nil {
		t.Error("KNN accepts k 0")
	}
	if _, err := KNN(t.Context(), good, good, 1, math.NaN()); err == nil {
		t.Error("KNN accepts a temperature of NaN")
	}
	if _, err := LinearProbe(t.Context(), good, good, Probe{-1, 10}); err == nil {
		t.Error("LinearProbe accepts a negative l2")
	}
	if _, err := LinearProbe(t.Context(), good, good, Probe{1, 0}); err == nil {
		t.Error("LinearProbe accepts no iterations")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := KNN(ctx, good, good, 5, 0.1); !errors.Is(err, context.Canceled) {
		t.Errorf("KNN: %v, want the context's error", err)
	}
	if _, err := LinearProbe(ctx, good, good, Probe{1e-4, 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("LinearProbe: %v, want the context's error", err)
	}
}

// The size of the demo's evaluation.
func BenchmarkKNN2000x10000x512(b *testing.B) {
	simd.SetThreads(1)
	defer simd.SetThreads(0)
	train, test := blobs(1, 10000, 512, 10, 8), blobs(2, 2000, 512, 10, 8)
	for b.Loop() {
		if _, err := KNN(b.Context(), train, test, 20, 0.1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLinearProbe10000x512(b *testing.B) {
	simd.SetThreads(1)
	defer simd.SetThreads(0)
	train, test := blobs(1, 10000, 512, 10, 8), blobs(2, 2000, 512, 10, 8)
	for b.Loop() {
		if _, err := LinearProbe(b.Context(), train, test, Probe{1e-4, 100}); err != nil {
			b.Fatal(err)
		}
	}
}
