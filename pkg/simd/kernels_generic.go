//go:build !amd64

package simd

// vectorised tells whether the assembly kernels run; there are none for this architecture.
var vectorised = false

// machinePath is the portable one.
func machinePath() int { return 0 }

func rowTileHeight(int) int { return tileRows }
func rowTileWidth() int     { return tileCols }
func pairTileHeight() int   { return tileRows }

func askedInRowTile(int, int) int  { return 0 }
func askedInPairTile(int, int) int { return 0 }

func rowTile(rows, width int, c []float32, ldc int, a []float32, lda int, b []float32, _ int, taps []tap, depth int, add bool, _ []float32) {
	rowTileNarrow(rows, width, c, ldc, a, lda, b, taps, depth, add)
}

func pairTile(rows, width int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool, _ []float32) {
	pairTileNarrow(rows, width, c, ldc, a, b, taps, blocks, aStep, bStep, add)
}

func rowTileWhole(rows int, c []float32, ldc int, a []float32, lda int, b []float32, taps []tap, depth int, add bool) {
	rowTilePortable(rows, c, ldc, a, lda, b, taps, depth, add)
}

func pairTileWhole(rows int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool) {
	pairTilePortable(rows, c, ldc, a, b, taps, blocks, aStep, bStep, add)
}

func packRows(dst, src []float32, ld, k int) { packRowsPortable(dst, src, ld, k) }

func packColumns(dst, src []float32, ld, k, width int) { packColumnsPortable(dst, src, ld, k, width) }

func transpose(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	transposePortable(dst, ldd, src, lds, rows, cols)
}

func addTo(dst, x []float32)                     { addToPortable(dst, x) }
func mulBy(dst, x []float32)                     { mulByPortable(dst, x) }
func axpy(dst []float32, a float32, x []float32) { axpyPortable(dst, a, x) }
func scale(dst []float32, a float32)             { scalePortable(dst, a) }
func dotBlock(x, y []float32) float32            { return dotBlockPortable(x, y) }
func sumBlock(x []float32) float32               { return sumBlockPortable(x) }
func maxOf(x []float32) float32                  { return maxOfPortable(x) }
func relu(y, x []float32)                        { reluPortable(y, x) }
func reluBackward(dx, dy, y []float32)           { reluBackwardPortable(dx, dy, y) }
func gelu(y, slope, x []float32)                 { geluPortable(y, slope, x) }
func geluTanh(y, slope, x []float32)             { geluTanhPortable(y, slope, x) }
func blend(dst, x, y []float32, a, b, c float32) { blendPortable(dst, x, y, a, b, c) }
func expBlock(dst, x []float32, shift float32) float32 {
	return expBlockPortable(dst, x, shift)
}
func columnSumBlock(dst, x []float32, rows, cols int) { columnSumBlockPortable(dst, x, rows, cols) }
func columnSqDevBlock(dst, x, mean []float32, rows, cols int) {
	columnSqDevBlockPortable(dst, x, mean, rows, cols)
}
func columnDotBlock(dst, x, y []float32, rows, cols int) {
	columnDotBlockPortable(dst, x, y, rows, cols)
}
func columnDotDevBlock(dst, x, y, mean []float32, rows, cols int) {
	columnDotDevBlockPortable(dst, x, y, mean, rows, cols)
}
func scaleShift(y, x, factor, shift []float32, rows, cols int) {
	scaleShiftPortable(y, x, factor, shift, rows, cols)
}
func addRow(x, row []float32, rows, cols int) { addRowPortable(x, row, rows, cols) }
func affine2(dst, x, y, a, b, c []float32, rows, cols int) {
	affine2Portable(dst, x, y, a, b, c, rows, cols)
}

func strideTiles(rows, cols int, c []float32, ldc int, a []float32, rowStep, depthStep int, b []float32, ldb, depth int, add bool) {
	strideTilePortable(rows, cols, c, ldc, a, rowStep, depthStep, b, ldb, depth, add)
}
func panelScores(scores, largest, keys []float32, d int, panel []float32, rows, depth int, add bool, _ []float32) {
	strideTiles(rows, Panel, scores, Panel, keys, d, 1, panel, Panel, depth, add)
	panelMax(largest, scores, rows)
}
func panelSum(sums, weights, keys []float32, n, rows, cols, d int) {
	strideTiles(n, cols, sums, d, weights, 1, Panel, keys, d, rows, true)
}
func panelMax(top, x []float32, rows int)          { panelMaxPortable(top, x, rows) }
func panelExp(x, shift, sums []float32, rows int)  { panelExpPortable(x, shift, sums, rows) }
func panelPull(x, column, row []float32, rows int) { panelPullPortable(x, column, row, rows) }

func poolMaxWindow(y []float32, which []uint8, x []float32, pixels []tap) {
	poolMaxWindowPortable(y, which, x, pixels)
}

func poolMaxScatter(dx, dy []float32, which []uint8, tap uint8) {
	poolMaxScatterPortable(dx, dy, which, tap)
}
