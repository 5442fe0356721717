package evaluate

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// The fixture was made with PyTorch in float64.
func TestAlignmentAndUniformityEqualTheFixture(t *testing.T) {
	type array struct {
		Shape []int
		Data  []float64
	}
	var f struct{ Inputs, Outputs map[string]array }
	b, err := os.ReadFile("testdata/align_uniform.json")
	check(t, err)
	check(t, json.Unmarshal(b, &f))
	read := func(name string) *tensor.Dense {
		a := f.Inputs[name]
		x := make([]float32, len(a.Data))
		for i, v := range a.Data {
			x[i] = float32(v)
		}
		return dense(x, a.Shape...)
	}
	alignment, err := Alignment(read("a"), read("b"))
	check(t, err)
	ua, err := Uniformity(read("a"))
	check(t, err)
	ub, err := Uniformity(read("b"))
	check(t, err)
	for name, got := range map[string]float64{"align": alignment, "unif_a": ua, "unif_b": ub} {
		if want := f.Outputs[name].Data[0]; !near(got, want, 1e-6) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// More rows than a chunk, against sums over single pairs.
func TestPairMeasuresEqualTheirDefinitions(t *testing.T) {
	const n, d = 1203, 4
	z := normals(5, n, d)
	x := z.Float32s()
	unit := make([]float64, n*d)
	for i := range n {
		s := 0.0
		for j := range d {
			s += float64(x[i*d+j]) * float64(x[i*d+j])
		}
		for j := range d {
			unit[i*d+j] = float64(x[i*d+j]) / math.Sqrt(s)
		}
	}
	var energy, cosine, count float64
	for a := range n {
		for b := range a {
			s := 0.0
			for j := range d {
				s += unit[a*d+j] * unit[b*d+j]
			}
			energy += math.Exp(-2 * (2 - 2*s))
			cosine += s
			count++
		}
	}
	u, err := Uniformity(z)
	check(t, err)
	c, err := MeanCosine(z)
	check(t, err)
	if want := math.Log(energy / count); !near(u, want, 1e-6) {
		t.Errorf("uniformity %v, want %v", u, want)
	}
	if want := cosine / count; !near(c, want, 1e-6) {
		t.Errorf("mean cosine %v, want %v", c, want)
	}
}

func TestEffectiveRankOfKnownSets(t *testing.T) {
	// ±e_i for d directions: centred, all singular values are equal.
	directions := func(n, d, width int) *tensor.Dense {
		x := make([]float32, n*width)
		for i := range n {
			x[i*width+i/2%d] = float32(1 - 2*(i%2))
		}
		return dense(x, n, width)
	}
	line := make([]float32, 40*8)
	for i := range line {
		line[i] = float32(i%8) + 1
	}
	for _, c := range []struct {
		name string
		z    *tensor.Dense
		want float64
	}{
		{"5 directions", directions(40, 5, 8), 5},
		{"all 8 directions", directions(48, 8, 8), 8},
		{"fewer rows than columns", directions(6, 3, 50), 3},
		{"equal rows", dense(line, 40, 8), 0},
	} {
		got, err := EffectiveRank(c.z)
		check(t, err)
		if !near(got, c.want, 1e-5) {
			t.Errorf("%s: effective rank %v, want %v", c.name, got, c.want)
		}
	}
	// Two singular values in ratio 3 to 1: p = ¾, ¼.
	x := make([]float32, 0, 40*2)
	for i := range 40 {
		v := []float32{0, 1}
		if i >= 4 {
			v = []float32{1, 0}
		}
		if i%2 == 1 {
			v[0], v[1] = -v[0], -v[1]
		}
		x = append(x, v...)
	}
	got, err := EffectiveRank(dense(x, 40, 2))
	check(t, err)
	if want := math.Exp(-0.75*math.Log(0.75) - 0.25*math.Log(0.25)); !near(got, want, 1e-6) {
		t.Errorf("effective rank %v, want %v", got, want)
	}
}

func TestMeasuresOfACollapsedSet(t *testing.T) {
	x := make([]float32, 50*6)
	for i := range x {
		x[i] = float32(i%6) - 1
	}
	z := dense(x, 50, 6)
	u, err := Uniformity(z)
	check(t, err)
	c, err := MeanCosine(z)
	check(t, err)
	a, err := Alignment(z, z)
	check(t, err)
	if !near(u, 0, 1e-5) || !near(c, 1, 1e-5) || a != 0 {
		t.Errorf("uniformity %v, mean cosine %v, alignment %v; want 0, 1, 0", u, c, a)
	}
}

func TestMeasuresRefuse(t *testing.T) {
	one := normals(1, 1, 4)
	for name, f := range map[string]func(*tensor.Dense) (float64, error){"uniformity": Uniformity, "mean cosine": MeanCosine, "effective rank": EffectiveRank} {
		if _, err := f(one); err == nil || !strings.Contains(err.Error(), name+" of 1 embedding: expected at least 2") {
			t.Errorf("%s of one row: %v", name, err)
		}
	}
	if _, err := Alignment(normals(1, 3, 4), normals(1, 3, 5)); err == nil || !strings.Contains(err.Error(), "expected one shape") {
		t.Errorf("Alignment: %v", err)
	}
}

func TestHealthy(t *testing.T) {
	// Figures of healthy and collapsed runs of the reference recipe.
	good := map[string]float64{MetricMeanCosine: 0.11, MetricUniformity: -2.3, MetricEffectiveRank: 19}
	if ok, reason := Healthy(good); !ok || reason != "" {
		t.Errorf("healthy figures: %v, %q", ok, reason)
	}
	// The reference recipe after a fifth of its steps: a narrow cone, but of many directions, and the neighbours tell the classes already.
	early := map[string]float64{MetricMeanCosine: 0.549, MetricUniformity: -1.13, MetricEffectiveRank: 16.9, MetricKNN: 0.8065, MetricUntrainedKNN: 0.8005}
	if ok, reason := Healthy(early); !ok || reason != "" {
		t.Errorf("figures of a run that begins: %v, %q", ok, reason)
	}
	for want, bad := range map[string]map[string]float64{
		"meanCosine is 0.86, expected below 0.5": {MetricMeanCosine: 0.86, MetricUniformity: -2.3, MetricEffectiveRank: 19},
		"uniformity is -0.2, expected below -1":  {MetricMeanCosine: 0.1, MetricUniformity: -0.2, MetricEffectiveRank: 19},
		"effectiveRank is 1.5, expected above 4": {MetricMeanCosine: 0.1, MetricUniformity: -2.3, MetricEffectiveRank: 1.5},
		"meanCosine is NaN":                      {MetricMeanCosine: math.NaN(), MetricUniformity: -2.3, MetricEffectiveRank: 19},
		"uniformity was not measured":            {MetricMeanCosine: 0.1},
		// A cone of the same width without any gain, and embeddings whose neighbours still tell the classes although they have collapsed.
		"meanCosine is 0.549, expected below 0.5": {MetricMeanCosine: 0.549, MetricUniformity: -1.13, MetricEffectiveRank: 16.9, MetricKNN: 0.8005, MetricUntrainedKNN: 0.8005},
		"meanCosine is 0.9, expected below 0.75":  {MetricMeanCosine: 0.9, MetricUniformity: -0.3, MetricEffectiveRank: 19, MetricKNN: 0.81, MetricUntrainedKNN: 0.8},
		"uniformity is -0.3, expected below -0.5": {MetricMeanCosine: 0.6, MetricUniformity: -0.3, MetricEffectiveRank: 19, MetricKNN: 0.81, MetricUntrainedKNN: 0.8},
		"effectiveRank is 3, expected above 4":    {MetricMeanCosine: 0.1, MetricUniformity: -1.5, MetricEffectiveRank: 3, MetricKNN: 0.81, MetricUntrainedKNN: 0.8},
	} {
		if ok, reason := Healthy(bad); ok || !strings.Contains(reason, want) {
			t.Errorf("Healthy: %v, %q, want %q", ok, reason, want)
		}
	}
}
