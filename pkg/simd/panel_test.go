package simd

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

// panelSizes are queries, keys and width.
var panelSizes = [][3]int{{1, 1, 1}, {3, 5, 7}, {8, 16, 32}, {31, 33, 65}, {32, 256, 128}, {32, 100, 515}}

func TestPanelProductsAgainstFloat64(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, size := range panelSizes {
			n, rows, d := size[0], size[1], size[2]
			q, keys, panel := random(n*d, 1), random(rows*d, 2), random(Panel*d, 3)
			scores, sums := random(rows*Panel, 4), random(n*d, 5)
			PackPanel(panel, q, n, d, 0.5)
			largest, top := make([]float32, Panel), make([]float32, Panel)
			PanelScores(scores, largest, keys, panel, rows, d, nil)
			least(top)
			PanelMax(top, scores, rows)
			wantSame(t, largest, top)
			again := make([]float32, rows*Panel)
			PanelScores(again, largest, keys, panel, rows, d, keys)
			wantSame(t, again, scores)
			want := make([]float64, rows*Panel)
			for j := range rows {
				for i := range n {
					for c := range d {
						want[j*Panel+i] += 0.5 * float64(q[i*d+c]) * float64(keys[j*d+c])
					}
				}
			}
			wantClose(t, fmt.Sprint("scores of ", size), scores, want, 1e-6)

			weights, wantSums := random(rows*Panel, 6), make([]float64, n*d)
			for i := range n {
				for c := range d {
					wantSums[i*d+c] = float64(sums[i*d+c])
					for j := range rows {
						wantSums[i*d+c] += float64(weights[j*Panel+i]) * float64(keys[j*d+c])
					}
				}
			}
			PanelSum(sums, weights, keys, n, rows, d)
			wantClose(t, fmt.Sprint("sums of ", size), sums, wantSums, 1e-6)
		}
	})
}

func TestPanelExponentials(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, rows := range []int{1, 2, 37} {
			x, column, row := random(rows*Panel, 1), random(Panel, 2), random(rows, 3)
			Scale(x, 30)
			x[3] = float32(math.Inf(-1))
			top, sums := make([]float32, Panel), make([]float32, Panel)
			for c := range top {
				top[c] = float32(math.Inf(-1))
			}
			PanelMax(top, x, rows)
			e, pull := append([]float32(nil), x...), append([]float32(nil), x...)
			PanelExp(e, top, sums, rows)
			PanelPull(pull, column, row, rows)
			for c := range Panel {
				largest, sum := math.Inf(-1), 0.0
				for r := range rows {
					v := float64(x[r*Panel+c])
					largest = max(largest, v)
					if v == v {
						sum += math.Exp(v - float64(top[c]))
					}
					if r*Panel+c != 3 && e[r*Panel+c] != Exp1(x[r*Panel+c]-top[c]) {
						t.Errorf("e^(%v − %v) is %v, Exp1 has %v", v, top[c], e[r*Panel+c], Exp1(x[r*Panel+c]-top[c]))
					}
					want := Exp1(x[r*Panel+c]-column[c]) + Exp1(x[r*Panel+c]-row[r])
					if pull[r*Panel+c] != want {
						t.Errorf("pull of %v, %v and %v is %v, want %v", v, column[c], row[r], pull[r*Panel+c], want)
					}
				}
				if float64(top[c]) != largest {
					t.Errorf("column %d: maximum %v, want %v", c, top[c], largest)
				}
				if rows > 1 && math.Abs(float64(sums[c])-sum) > 1e-6*sum {
					t.Errorf("column %d: sum %v, want %v", c, sums[c], sum)
				}
			}
		}
	})
}

func TestPanelsKeepNaN(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		x, top, sums := make([]float32, 2*Panel), make([]float32, Panel), make([]float32, Panel)
		x[5] = float32(math.NaN())
		PanelMax(top, x, 2)
		PanelExp(x, top, sums, 2)
		if top[5] != 0 || x[5] == x[5] || sums[5] == sums[5] || sums[4] != 2 {
			t.Errorf("maximum %v, exponential %v, sums %v", top[5], x[5], sums[4:6])
		}
	})
}

// panelDigest hashes results of the kernels for panels.
func panelDigest(add func(...float32)) {
	for _, size := range panelSizes {
		n, rows, d := size[0], size[1], size[2]
		panel, scores, sums, top := make([]float32, Panel*d), make([]float32, rows*Panel), plain(n*d, 1), plain(Panel, 2)
		keys := plain(rows*d, 3)
		PackPanel(panel, plain(n*d, 4), n, d, 3)
		PanelScores(scores, make([]float32, Panel), keys, panel, rows, d, nil)
		pull := append([]float32(nil), scores...)
		PanelPull(pull, top, plain(rows, 5), rows)
		PanelMax(top, scores, rows)
		add(top...)
		PanelExp(scores, top, top, rows)
		PanelSum(sums, scores, keys, n, rows, d)
		add(scores...)
		add(top...)
		add(sums...)
		add(pull...)
	}
}

func TestProfileNamesTheArithmeticOfPanels(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		want := map[string]uint64{profileFMA: 0x82c5e0545af86f58, profilePortable: 0x8475e659e20a2cc9}[Profile()]
		h := digest{fnv.New64a()}
		panelDigest(h.add)
		if got := h.Sum64(); got != want {
			t.Errorf("profile %s computes %#x, want %#x", Profile(), got, want)
		}
	})
}

func BenchmarkPanel(b *testing.B) {
	const rows, d = 256, 128
	keys, panel, weights, sums := random(rows*d, 1), random(d*Panel, 2), random(rows*Panel, 3), random(Panel*d, 4)
	largest := make([]float32, Panel)
	for name, f := range map[string]func(){
		"Scores": func() { PanelScores(weights, largest, keys, panel, rows, d, keys) },
		"Sum":    func() { PanelSum(sums, weights, keys, Panel, rows, d) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(2*rows*d*Panel*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
