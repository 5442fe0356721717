package optim

import (
	"errors"
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/simd"
)

func TestMomentumAgainstTheFormula(t *testing.T) {
	cosine := Momentum{Name: "cosine", Base: 0.99, TotalSteps: 390}
	for step := range uint64(391) {
		want := 1 - (1-0.99)*(math.Cos(math.Pi*float64(step)/390)+1)/2
		if got := cosine.At(step); math.Abs(got-want) > 1e-14 {
			t.Errorf("cosine step %d: %v, want %v", step, got, want)
		}
	}
	if got := cosine.At(1000); got != 1 {
		t.Errorf("after the end: %v, want 1", got)
	}
	for _, name := range []string{"", "constant"} {
		if got := (Momentum{Name: name, Base: 0.9}).At(7); got != 0.9 {
			t.Errorf("%q: %v, want 0.9", name, got)
		}
	}
}

func TestImpossibleMomenta(t *testing.T) {
	for _, m := range []Momentum{{Name: "linear"}, {Base: 1}, {Base: -0.1}, {Base: math.NaN()}, {Name: "cosine", Base: 0.9}} {
		if err := m.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	for _, m := range []Momentum{{}, {Name: "constant", Base: 0.99}, {Name: "cosine", Base: 0.99, TotalSteps: 1}} {
		if err := m.Validate(); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestAverageFollows(t *testing.T) {
	t.Cleanup(func() { simd.SetThreads(0) })
	const n = 2*runLength + 7
	var first []float32
	for _, threads := range []int{1, 3} {
		simd.SetThreads(threads)
		average, of := make([]float32, n), make([]float32, n)
		for i := range average {
			average[i], of[i] = float32(i%31), float32(i%17)
		}
		NewAverage(average, of).Follow(0.9)
		for i, got := range average {
			if want := 0.9*float64(i%31) + 0.1*float64(i%17); math.Abs(float64(got)-want) > 1e-5 {
				t.Fatalf("element %d: %v, want %v", i, got, want)
			}
			if first != nil && math.Float32bits(first[i]) != math.Float32bits(got) {
				t.Fatalf("element %d with %d threads: %v, want %v", i, threads, got, first[i])
			}
		}
		first = average
	}
}

func TestAverageOfOtherLengthPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewAverage(make([]float32, 2), make([]float32, 3))
}
