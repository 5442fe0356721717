package objective

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

type array struct {
	Shape []int
	Data  []float64
}

type fixture struct {
	Params                 map[string]float64
	Inputs, Outputs, Grads map[string]array
}

func load(t *testing.T, name string) fixture {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (a array) f32() []float32 {
	x := make([]float32, len(a.Data))
	for i, v := range a.Data {
		x[i] = float32(v)
	}
	return x
}

// relative is max|a−b| / max|b|.
func relative(a []float32, b []float64) float64 {
	worst, size := 0.0, 0.0
	for i := range b {
		worst, size = max(worst, math.Abs(float64(a[i])-b[i])), max(size, math.Abs(b[i]))
	}
	return worst / size
}

// infoNCE runs the whole objective as the ranks do, from raw queries and keys, with the bank cut in shards.
func infoNCE(u, uk, bank []float32, d, shards int, tau float32) (loss float64, du []float32) {
	rows, size := len(u)/d, len(bank)/d
	q, k, norms, scratch := make([]float32, len(u)), make([]float32, len(uk)), make([]float32, rows), make([]float32, rows)
	Normalize(q, u, norms, rows, d)
	Normalize(k, uk, scratch, rows, d)
	cosines := make([]float32, rows)
	for i := range rows {
		cosines[i] = simd.Dot(q[i*d:(i+1)*d], k[i*d:(i+1)*d])
	}
	parts, m, l := make([]*BankPart, shards), make([][]float32, shards), make([][]float32, shards)
	for v := range shards {
		parts[v] = NewBankPart(rows, d)
		parts[v].Compute(q, bank[v*size/shards*d:(v+1)*size/shards*d], d, tau)
		m[v], l[v] = parts[v].M, parts[v].L
	}
	merged := new(BankMerge)
	merged.Merge(cosines, m, l, tau)
	weighted := make([]float32, len(q))
	for _, p := range parts {
		merged.Weigh(p, d)
		simd.Add(weighted, p.O)
	}
	du = make([]float32, len(u))
	QueryGradient(du, weighted, k, merged.PPlus, d, tau, 1/float32(rows))
	NormalizeBackward(du, du, q, norms, rows, d)
	return merged.Loss, du
}

func TestInfoNCEAgainstPyTorch(t *testing.T) {
	f := load(t, "infonce_bank")
	for _, shards := range []int{1, 2, 3, 9} {
		loss, du := infoNCE(f.Inputs["q"].f32(), f.Inputs["k"].f32(), f.Inputs["bank"].f32(), 5, shards, float32(f.Params["tau"]))
		if e := relative([]float32{float32(loss)}, f.Outputs["loss"].Data); e > 1e-5 {
			t.Errorf("%d shards: loss %v, want %v", shards, loss, f.Outputs["loss"].Data)
		}
		if e := relative(du, f.Grads["q"].Data); e > 1e-5 {
			t.Errorf("%d shards: ∂L/∂q is off by %.2e", shards, e)
		}
	}
}

func TestNormalizeAgainstPyTorch(t *testing.T) {
	f := load(t, "l2norm")
	x := f.Inputs["x"].f32()
	y, norms, dx := make([]float32, 30), make([]float32, 6), make([]float32, 30)
	Normalize(y, x, norms, 6, 5)
	NormalizeBackward(dx, f.Inputs["upstream"].f32(), y, norms, 6, 5)
	if e := relative(y, f.Outputs["y"].Data); e > 1e-5 {
		t.Errorf("forward is off by %.2e", e)
	}
	if e := relative(dx, f.Grads["x"].Data); e > 1e-5 {
		t.Errorf("gradient is off by %.2e", e)
	}
}

// reference is the definition in float64, with all logits in memory.
func reference(u, uk, bank []float32, d int, tau float64) (loss float64, du []float64) {
	unit := func(x []float32) ([]float64, float64) {
		n, y := 0.0, make([]float64, d)
		for _, v := range x {
			n += float64(v) * float64(v)
		}
		for j, v := range x {
			y[j] = float64(v) / math.Sqrt(n)
		}
		return y, math.Sqrt(n)
	}
	rows := len(u) / d
	for i := range rows {
		q, norm := unit(u[i*d : (i+1)*d])
		k, _ := unit(uk[i*d : (i+1)*d])
		rowsOf, logits := [][]float64{k}, []float64{0}
		for j := 0; j < len(bank); j += d {
			row := make([]float64, d)
			for c := range d {
				row[c] = float64(bank[j+c])
			}
			rowsOf, logits = append(rowsOf, row), append(logits, 0)
		}
		top, z := math.Inf(-1), 0.0
		for j, row := range rowsOf {
			for c := range d {
				logits[j] += q[c] * row[c] / tau
			}
			top = max(top, logits[j])
		}
		for _, s := range logits {
			z += math.Exp(s - top)
		}
		loss += (top + math.Log(z) - logits[0]) / float64(rows)
		g, along := make([]float64, d), 0.0
		for j, row := range rowsOf {
			p := math.Exp(logits[j]-top) / z
			if j == 0 {
				p--
			}
			for c := range d {
				g[c] += p * row[c] / tau / float64(rows)
			}
		}
		for c := range d {
			along += g[c] * q[c]
		}
		for c := range d {
			du = append(du, (g[c]-along*q[c])/norm)
		}
	}
	return loss, du
}

func random(key keyed.Key, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(key.Normal(uint64(i)))
	}
	return x
}

func TestInfoNCEAgainstItsDefinition(t *testing.T) {
	for _, c := range []struct {
		rows, size, d, shards int
		tau                   float32
	}{{1, 1, 1, 1, 1}, {3, 17, 5, 2, 0.07}, {65, 300, 16, 3, 0.2}, {70, 1025, 33, 4, 0.01}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			key := keyed.New(11)
			u, uk, bank := random(key.For("q"), c.rows*c.d), random(key.For("k"), c.rows*c.d), random(key.For("bank"), c.size*c.d)
			Normalize(bank, bank, make([]float32, c.size), c.size, c.d)
			loss, du := infoNCE(u, uk, bank, c.d, c.shards, c.tau)
			wantLoss, wantDu := reference(u, uk, bank, c.d, float64(c.tau))
			if e := math.Abs(loss-wantLoss) / math.Abs(wantLoss); e > 1e-5 {
				t.Errorf("loss %v, want %v", loss, wantLoss)
			}
			if c.d > 1 { // for d = 1 the gradient through the normalisation is 0
				if e := relative(du, wantDu); e > 2e-5 {
					t.Errorf("gradient is off by %.2e", e)
				}
			}
		})
	}
}

func TestInfoNCEGradientByCentralDifferences(t *testing.T) {
	const d = 6
	key := keyed.New(4)
	u, uk, bank := random(key.For("q"), 4*d), random(key.For("k"), 4*d), random(key.For("bank"), 20*d)
	Normalize(bank, bank, make([]float32, 20), 20, d)
	_, du := reference(u, uk, bank, d, 0.2)
	for i := range u {
		up, down := append([]float32{}, u...), append([]float32{}, u...)
		up[i] += 1e-2
		down[i] -= 1e-2
		a, _ := reference(up, uk, bank, d, 0.2)
		b, _ := reference(down, uk, bank, d, 0.2)
		if numeric := (a - b) / (float64(up[i]) - float64(down[i])); math.Abs(numeric-du[i]) > 1e-3*(1+math.Abs(du[i])) {
			t.Errorf("∂L/∂u[%d] = %v, central difference %v", i, du[i], numeric)
		}
	}
}

func TestSharesOfTheBankStayInTheUnitBall(t *testing.T) {
	const rows, d, size, shards = 9, 8, 40, 4
	key := keyed.New(2)
	q, bank := random(key.For("q"), rows*d), random(key.For("bank"), size*d)
	Normalize(q, q, make([]float32, rows), rows, d)
	Normalize(bank, bank, make([]float32, size), size, d)
	parts, m, l := make([]*BankPart, shards), make([][]float32, shards), make([][]float32, shards)
	for v := range shards {
		parts[v] = NewBankPart(rows, d)
		parts[v].Compute(q, bank[v*size/shards*d:(v+1)*size/shards*d], d, 0.05)
		m[v], l[v] = parts[v].M, parts[v].L
	}
	merged := new(BankMerge)
	merged.Merge(make([]float32, rows), m, l, 0.05)
	sum := make([]float64, rows*d)
	for _, p := range parts {
		merged.Weigh(p, d)
		for i, x := range p.O {
			sum[i] += math.Abs(float64(x))
		}
	}
	for i, x := range sum {
		if x > 1 {
			t.Errorf("element %d adds up to %v in absolute value", i, x)
		}
	}
}

func TestAnOverflowingScoreIsReported(t *testing.T) {
	nan := float32(math.NaN())
	if new(BankMerge).Merge([]float32{0.5, nan}, [][]float32{{1, 1}}, [][]float32{{1, 1}}, 0.2) {
		t.Error("NaN passed as finite")
	}
}

func BenchmarkBankPart(b *testing.B) {
	const rows, d, size = 256, 128, 65536
	key := keyed.New(2)
	q, bank := random(key.For("q"), rows*d), random(key.For("bank"), size*d)
	p := NewBankPart(rows, d)
	b.ReportAllocs()
	for b.Loop() {
		p.Compute(q, bank, d, 0.2)
	}
}
