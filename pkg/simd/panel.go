package simd

import (
	"fmt"
	"math"
)

// Panel is the number of queries that are contrasted with keys together: their scores lie in the columns of a tile, a row for each key. So
// keys are read as they lie in memory, and what is done for each query (its maximum, its sum) needs no sum across a register.
const Panel = 32

// panelDepth cuts the inner sums of [PanelScores], as gemmDepth those of [Gemm].
const panelDepth = 256

// PackPanel writes alpha·q to panel (d, 32), one column for each of n ≤ 32 queries q (n, d). The columns that are left become 0.
func PackPanel(panel, q []float32, n, d int, alpha float32) {
	wantLen("PackPanel", "panel", panel, Panel*d)
	wantLen("PackPanel", "q", q, wantQueries("PackPanel", n)*d)
	panel = panel[:Panel*d]
	if n < Panel {
		clear(panel)
	}
	transpose(panel, Panel, q, d, n, d)
	scale(panel, alpha)
}

// PanelScores writes the products of rows keys (rows, d) with the queries of a panel (d, 32) to scores (rows, 32), and the largest in each column,
// as [PanelMax] finds it from −∞, to largest (32). The inner sum is cut in runs of 256 elements: each run is one chain of multiply-adds in
// order, and the runs are added in order. Memory ahead will be needed next: the caches are asked for it meanwhile, if the path does that.
func PanelScores(scores, largest, keys, panel []float32, rows, d int, ahead []float32) {
	wantLen("PanelScores", "scores", scores, rows*Panel)
	wantLen("PanelScores", "largest", largest, Panel)
	wantLen("PanelScores", "keys", keys, rows*d)
	wantLen("PanelScores", "panel", panel, d*Panel)
	least(largest[:Panel])
	if rows == 0 {
		return
	}
	if d == 0 {
		clear(scores[:rows*Panel])
		panelMax(largest, scores, rows)
	}
	for p := 0; p < d; p += panelDepth {
		end := min(p+panelDepth, d)
		least(largest[:Panel]) // those of the last run are the scores'
		panelScores(scores, largest, keys[p:], d, panel[p*Panel:], rows, end-p, p > 0, ahead[len(ahead)*p/d:len(ahead)*end/d])
	}
}

// least sets maxima to what is below all numbers.
func least(top []float32) {
	for c := range top {
		top[c] = float32(math.Inf(-1))
	}
}

// PanelSum adds Σⱼ weights[j, i]·keyⱼ to sums (n, d), for the first n of the columns of weights (rows, 32) and keys (rows, d). Each call is one
// chain of multiply-adds in order of the rows, added at its end.
func PanelSum(sums, weights, keys []float32, n, rows, d int) {
	wantLen("PanelSum", "sums", sums, wantQueries("PanelSum", n)*d)
	wantLen("PanelSum", "weights", weights, rows*Panel)
	wantLen("PanelSum", "keys", keys, rows*d)
	if rows == 0 {
		return
	}
	for col := 0; col < d; col += Panel {
		panelSum(sums[col:], weights, keys[col:], n, rows, min(Panel, d-col), d)
	}
}

// PanelMax raises top (32) to the largest element in each column of x (rows, 32). NaN is passed over.
func PanelMax(top, x []float32, rows int) {
	wantLen("PanelMax", "top", top, Panel)
	wantLen("PanelMax", "x", x, rows*Panel)
	if rows > 0 {
		panelMax(top, x, rows)
	}
}

// PanelExp replaces x (rows, 32) by e^{x − shift}, with a shift for each column, and writes the columns' sums, each one chain in order of the
// rows. The exponentials are those of [Exp].
func PanelExp(x, shift, sums []float32, rows int) {
	wantLen("PanelExp", "x", x, rows*Panel)
	wantLen("PanelExp", "shift", shift, Panel)
	wantLen("PanelExp", "sums", sums, Panel)
	if rows == 0 {
		clear(sums[:Panel])
		return
	}
	panelExp(x, shift, sums, rows)
}

// PanelPull replaces x (rows, 32) by e^{x − column} + e^{x − row}, with column (32) and row (rows).
func PanelPull(x, column, row []float32, rows int) {
	wantLen("PanelPull", "x", x, rows*Panel)
	wantLen("PanelPull", "column", column, Panel)
	wantLen("PanelPull", "row", row, rows)
	if rows > 0 {
		panelPull(x, column, row, rows)
	}
}

func wantQueries(op string, n int) int {
	if n < 0 || n > Panel {
		panic(fmt.Sprintf("simd: %s: %d queries, a panel holds up to %d", op, n, Panel))
	}
	return n
}

// strideTilePortable computes rows×cols values, each one chain of multiply-adds in order of p, which with add is added to C at its end:
//
//	C[r·ldc+j] (+)= Σ_{p<depth} A[r·rowStep + p·depthStep] · B[p·ldb + j]
func strideTilePortable(rows, cols int, c []float32, ldc int, a []float32, rowStep, depthStep int, b []float32, ldb, depth int, add bool) {
	var sum [Panel]float32
	for r := range rows {
		clear(sum[:])
		for p := range depth {
			left, right := a[r*rowStep+p*depthStep], b[p*ldb:p*ldb+cols]
			for j, x := range right {
				sum[j] += float32(left * x)
			}
		}
		row := c[r*ldc : r*ldc+cols]
		for j := range row {
			if !add {
				row[j] = 0
			}
			row[j] += sum[j]
		}
	}
}

func panelMaxPortable(top, x []float32, rows int) {
	for r := range rows {
		for c, v := range x[r*Panel : (r+1)*Panel] {
			if v > top[c] {
				top[c] = v
			}
		}
	}
}

func panelExpPortable(x, shift, sums []float32, rows int) {
	clear(sums[:Panel])
	for r := range rows {
		row := x[r*Panel : (r+1)*Panel]
		for c, v := range row {
			row[c] = expPortable(v - shift[c])
			sums[c] += row[c]
		}
	}
}

func panelPullPortable(x, column, row []float32, rows int) {
	for r := range rows {
		values := x[r*Panel : (r+1)*Panel]
		for c, v := range values {
			values[c] = expPortable(v-column[c]) + expPortable(v-row[r])
		}
	}
}
