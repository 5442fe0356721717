package simd

// rowTiles computes rows×cols values of C, tile by tile; see rowTilePortable for the sums. B is panels of 16 columns that lie bStep apart.
func rowTiles(c []float32, ldc, cols, rows int, a []float32, lda int, b []float32, bStep int, taps []tap, depth int, add bool, next *ahead) {
	high, wide := rowTileHeight(lda), rowTileWidth()
	tiles := (rows + high - 1) / high
	for col := 0; col < cols; col += wide {
		width := min(wide, cols-col)
		panel := b[col/tileCols*bStep:]
		for t := range tiles {
			r := t * rows / tiles
			rowTile((t+1)*rows/tiles-r, width, c[r*ldc+col:], ldc, a[r*lda:], lda, panel, bStep, taps, depth, add,
				next.take(askedInRowTile(len(taps), depth)))
		}
	}
}

// An ahead is memory that will be needed soon, in the order of need. Tiles ask the caches for it while they compute: asked for at once it would make them wait.
type ahead struct{ runs [2]run }

// A run is rows of memory, stride floats apart.
type run struct {
	data                 []float32
	length, stride, rows int
}

// stretch is a run without gaps.
func stretch(data []float32) run { return run{data, len(data), 0, 1} }

// take returns memory to ask for, of one row: n floats, or what is left of it.
func (h *ahead) take(n int) []float32 {
	if h == nil {
		return nil
	}
	for i := range h.runs {
		r := &h.runs[i]
		if r.rows == 0 || r.length == 0 {
			continue
		}
		n = min(n, r.length)
		taken := r.data[:n]
		if r.rows > 1 {
			r.data, r.rows = r.data[r.stride:], r.rows-1
		} else {
			r.data, r.length = r.data[n:], r.length-n
		}
		return taken
	}
	return nil
}

// rowTileNarrow computes rows×width values, width ≤ 16, with kernels that know whole tiles only.
func rowTileNarrow(rows, width int, c []float32, ldc int, a []float32, lda int, b []float32, taps []tap, depth int, add bool) {
	if width == tileCols {
		rowTileWhole(rows, c, ldc, a, lda, b, taps, depth, add)
		return
	}
	var edge [tileRows * tileCols]float32
	rowTileWhole(rows, edge[:], tileCols, a, lda, b, taps, depth, false)
	storeEdge(c, ldc, rows, width, &edge, add)
}

// pairTileNarrow computes rows×width values, width ≤ 16, with kernels that know whole tiles only.
func pairTileNarrow(rows, width int, c []float32, ldc int, a, b []float32, taps []tap, blocks, aStep, bStep int, add bool) {
	if width == tileCols {
		pairTileWhole(rows, c, ldc, a, b, taps, blocks, aStep, bStep, add)
		return
	}
	var edge [tileRows * tileCols]float32
	pairTileWhole(rows, edge[:], tileCols, a, b, taps, blocks, aStep, bStep, false)
	storeEdge(c, ldc, rows, width, &edge, add)
}

// storeEdge stores or adds the first width columns of a whole tile.
func storeEdge(c []float32, ldc, rows, width int, edge *[tileRows * tileCols]float32, add bool) {
	for i := range rows {
		to, from := c[i*ldc:i*ldc+width], edge[i*tileCols:]
		if !add {
			copy(to, from)
			continue
		}
		for j := range to {
			to[j] += from[j]
		}
	}
}

// share returns the elements [first, last) of n that part i of so many has, nearly as many as the others.
func share(i, parts, n int) (first, last int) { return i * n / parts, (i + 1) * n / parts }
