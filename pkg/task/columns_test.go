package task

import (
	"context"
	"math"
	"strings"
	"testing"
)

// An offset that all embeddings share is nothing to these losses, so a snapshot takes it away before it compares directions.
func TestEmbeddingsAreComparedAroundTheirMean(t *testing.T) {
	for _, c := range settings {
		if c.Name != "barlowtwins" && c.Name != "vicreg" {
			continue
		}
		m, own := newTest(t, c), testBatches(0)
		for _, v := range m.State() {
			if strings.HasPrefix(v.Name, "encoder.projector.") && strings.HasSuffix(v.Name, "3.bias") {
				for i := range v.Value.Float32s() {
					v.Value.Float32s()[i] += 50
				}
			}
		}
		before := meanCosine(t, m, own[0])
		for step := range uint64(80) {
			if _, err := m.Step(context.Background(), alone{testRanks}, step, own, func(context.Context, ...string) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if after := meanCosine(t, m, own[0]); before < 0.99 || after > 0.7 {
			t.Errorf("%s: mean cosine %v with an offset, %v once it is known", c.Name, before, after)
		}
	}
}

// meanCosine is that of all pairs of a view's embeddings.
func meanCosine(t *testing.T, m Task, b Batch) (mean float64) {
	t.Helper()
	z, err := m.Snapshot().Embeddings(b.Fields["view1"])
	if err != nil {
		t.Fatal(err)
	}
	n, d := z.Shape()[0], z.Shape()[1]
	for i := range n {
		for j := range i {
			for c := range d {
				mean += float64(z.Float32s()[i*d+c]) * float64(z.Float32s()[j*d+c]) / float64(n*(n-1)/2)
			}
		}
	}
	if math.IsNaN(mean) {
		t.Fatal("an embedding is NaN")
	}
	return mean
}
