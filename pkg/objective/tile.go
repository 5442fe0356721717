package objective

import "github.com/sslctl/sslctl/pkg/simd"

// Tile sizes: a tile of scores (queries × keys) stays in the L2 cache beside its rows of keys.
const (
	tileQueries = 64
	tileKeys    = 256
)

// Drawn is a choice of a shard's unit vectors: what queries are contrasted with in one step.
type Drawn struct {
	Rows []float32 // (n, d), of the whole shard
	D    int
	// Picked are the rows that are meant, in the order in which they are visited; nil: all of them.
	Picked []int32
	// Hidden is, for each query, the place in Picked (or the row) that does not count for it, −1 for none; nil: none for any query.
	Hidden []int32
}

// Len is how many vectors are drawn.
func (k Drawn) Len() int {
	if k.Picked != nil {
		return len(k.Picked)
	}
	return len(k.Rows) / k.D
}

func (k Drawn) hidden(query int) int {
	if k.Hidden == nil {
		return -1
	}
	return int(k.Hidden[query])
}

// eachTile visits the vectors in tiles: visit gets the place of a tile's first vector, their number, the vectors themselves, (width, d), and
// the scores q·k times scale, (queries, width), which it may overwrite. q is (queries, d), at most tileQueries of them.
func (k Drawn) eachTile(q []float32, queries int, scale float32, visit func(at, width int, block, scores []float32)) {
	tile := tiles.get()
	defer tiles.put(tile)
	widest := tileKeys
	var copied []float32
	if k.Picked != nil { // then rows are copied side by side, into a second tile
		copied = tiles.get()
		defer tiles.put(copied)
		widest = min(tileKeys, len(copied)/k.D)
	}
	for at, n := 0, k.Len(); at < n; at += widest {
		width := min(widest, n-at)
		block := k.block(at, width, copied)
		scores := tile[:queries*width]
		simd.Gemm(false, true, queries, width, k.D, scale, q, k.D, block, k.D, 0, scores, width)
		visit(at, width, block, scores)
	}
}

func (k Drawn) block(at, width int, copied []float32) []float32 {
	if k.Picked == nil {
		return k.Rows[at*k.D : (at+width)*k.D]
	}
	for i, row := range k.Picked[at : at+width] {
		copy(copied[i*k.D:(i+1)*k.D], k.Rows[int(row)*k.D:])
	}
	return copied[:width*k.D]
}

// eachBlock calls f for queries [lo, hi) in blocks of tileQueries, on all cores.
func eachBlock(queries int, f func(lo, hi int)) {
	simd.Parallel((queries+tileQueries-1)/tileQueries, func(b int) {
		f(b*tileQueries, min((b+1)*tileQueries, queries))
	})
}

// tilePool hands out score tiles and takes them back.
type tilePool chan []float32

// tiles holds as many idle tiles as are ever likely to be in use; more are made when needed and dropped afterwards.
var tiles = make(tilePool, 64)

func (p tilePool) get() []float32 {
	select {
	case t := <-p:
		return t
	default:
		return make([]float32, tileQueries*tileKeys)
	}
}

func (p tilePool) put(t []float32) {
	select {
	case p <- t:
	default:
	}
}
