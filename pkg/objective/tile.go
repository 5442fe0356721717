package objective

import (
	"math"
	"slices"
	"sync"

	"github.com/sslctl/sslctl/pkg/simd"
)

const (
	// tileKeys is the number of keys in a tile of scores, (keys, simd.Panel). A sum over keys is one chain inside a tile, so this is part of the
	// arithmetic.
	tileKeys = 256
	// blockPanels is how many panels of queries meet a tile of keys while it lies in the second-level cache.
	blockPanels = 4
	// blockFloats bounds the packed queries of a block: wide ones go panel by panel.
	blockFloats = 1 << 16
)

// Drawn is a choice of a shard's unit vectors: what queries are contrasted with in one step.
type Drawn struct {
	Rows []float32 // (n, d), of the whole shard
	D    int
	// Picked are the rows that are meant, in the order in which they are visited; nil: all of them.
	Picked []int32
	// Hidden are pairs that do not count, in ascending order of Place.
	Hidden []Pair
}

// Pair is a vector, by its place in Picked or, without that, its row, and a query.
type Pair struct{ Place, Query int32 }

// Len is how many vectors are drawn.
func (k Drawn) Len() int {
	if k.Picked != nil {
		return len(k.Picked)
	}
	return len(k.Rows) / k.D
}

// tile is some of the vectors and their scores against a panel of queries.
type tile struct {
	at, rows int                 // place of the first vector, and their number
	keys     []float32           // (rows, d)
	scores   []float32           // (rows, simd.Panel), may be overwritten
	spare    []float32           // as large, of unspecified content
	largest  [simd.Panel]float32 // of each query's scores, unless some are hidden
	hidden   bool
}

// hide overwrites the score of query c of the panel and the vector at a place.
func (t *tile) hide(place, c int, value float32) {
	t.scores[(place-t.at)*simd.Panel+c] = value
	t.hidden = true
}

// raise moves maxima of the panel's queries over the scores.
func (t *tile) raise(top *[simd.Panel]float32) {
	if t.hidden {
		simd.PanelMax(top[:], t.scores, t.rows)
		return
	}
	for c, largest := range t.largest {
		if largest > top[c] {
			top[c] = largest
		}
	}
}

// has tells whether the vector at a place is in the tile.
func (t *tile) has(place int) bool { return place >= t.at && place < t.at+t.rows }

// panel is up to simd.Panel queries on their way over the tiles, with what a pass keeps of them.
type panel struct {
	first, n int       // queries [first, first+n) of the pass
	packed   []float32 // (d, simd.Panel)
	top      [simd.Panel]float32
	sums     [simd.Panel]float32
	shifts   [2][simd.Panel]float32
	totals   [4][simd.Panel]float64
}

// A pass is what is done with the scores of queries against vectors. Calls for different panels may run at the same time.
type pass interface {
	begin(p *panel)
	visit(p *panel, t *tile)
	end(p *panel)
}

// sweep runs a pass over queries q (n, d), whose scores are scale·q·k: tiles in order of the vectors for each query, queries in blocks on all
// cores. So the result for a query depends on nothing but the arguments.
func sweep(to pass, q []float32, keys Drawn, scale float32) {
	s := sweeps.Get().(*sweeper)
	s.pass, s.q, s.keys, s.scale, s.queries = to, q, keys, scale, len(q)/keys.D
	s.panels = max(1, min(blockPanels, blockFloats/(simd.Panel*keys.D)))
	size := s.panels * simd.Panel
	simd.Parallel((s.queries+size-1)/size, s.block)
	s.pass, s.q, s.keys = nil, nil, Drawn{}
	sweeps.Put(s)
}

// A sweeper is one sweep in progress. It is pooled, with its step bound once, so that a sweep allocates nothing.
type sweeper struct {
	pass    pass
	q       []float32
	keys    Drawn
	scale   float32
	queries int
	panels  int // of a block
	block   func(int)
}

var sweeps = sync.Pool{New: func() any {
	s := new(sweeper)
	s.block = s.run
	return s
}}

// run takes one block of queries over all tiles.
func (s *sweeper) run(b int) {
	d := s.keys.D
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	w.packed = grown(w.packed, s.panels*simd.Panel*d)
	panels := w.panels[:0]
	for i := range s.panels {
		first := (b*s.panels + i) * simd.Panel
		if first >= s.queries {
			break
		}
		panels = panels[:i+1]
		p := &panels[i]
		p.first, p.n, p.packed = first, min(simd.Panel, s.queries-first), w.packed[i*simd.Panel*d:(i+1)*simd.Panel*d]
		simd.PackPanel(p.packed, s.q[first*d:], p.n, d, s.scale)
		s.pass.begin(p)
	}
	t := &w.tile
	for at, n := 0, s.keys.Len(); at < n; at += tileKeys {
		rows := min(tileKeys, n-at)
		t.at, t.rows, t.keys, t.scores, t.spare = at, rows, s.keys.tile(at, rows, w), w.scores[:rows*simd.Panel], w.spare[:rows*simd.Panel]
		next := s.keys.next(at + rows)
		for i := range panels {
			simd.PanelScores(t.scores, t.largest[:], t.keys, panels[i].packed, rows, d, part(next, i, len(panels)))
			t.hidden = false
			s.keys.hide(&panels[i], t)
			s.pass.visit(&panels[i], t)
		}
	}
	t.keys = nil
	for i := range panels {
		s.pass.end(&panels[i])
	}
}

// workspace is what one block needs.
type workspace struct {
	scores, spare  [tileKeys * simd.Panel]float32 // first, so that their rows begin where lines of the caches do
	panels         [blockPanels]panel
	packed, copied []float32
	tile           tile
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// grown is a slice of n elements of unspecified content, which lies where s does if there is room.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// tile are the vectors at places [at, at+rows), side by side.
func (k Drawn) tile(at, rows int, w *workspace) []float32 {
	if k.Picked == nil {
		return k.Rows[at*k.D : (at+rows)*k.D]
	}
	w.copied = grown(w.copied, tileKeys*k.D)
	for i, row := range k.Picked[at : at+rows] {
		copy(w.copied[i*k.D:(i+1)*k.D], k.Rows[int(row)*k.D:])
	}
	return w.copied[:rows*k.D]
}

// next are the vectors of the tile from a place on as they lie in memory, nil where they do not lie side by side.
func (k Drawn) next(at int) []float32 {
	if k.Picked != nil {
		return nil
	}
	return k.Rows[at*k.D : min(at+tileKeys, k.Len())*k.D]
}

// part i of so many of x.
func part(x []float32, i, parts int) []float32 { return x[len(x)*i/parts : len(x)*(i+1)/parts] }

// hide makes the scores of hidden pairs −∞.
func (k Drawn) hide(p *panel, t *tile) {
	if len(k.Hidden) == 0 {
		return
	}
	from, _ := slices.BinarySearchFunc(k.Hidden, int32(t.at), func(h Pair, at int32) int { return int(h.Place - at) })
	for _, h := range k.Hidden[from:] {
		if int(h.Place) >= t.at+t.rows {
			break
		}
		if c := int(h.Query) - p.first; c >= 0 && c < p.n {
			t.hide(int(h.Place), c, minusInfinity)
		}
	}
}

var minusInfinity = float32(math.Inf(-1))

// raise moves the maxima of a panel's queries over a tile. Where one grows, shrink is told what was summed against the old one has to be
// multiplied with. shifts[0] is then what to subtract from the scores: the maximum, or 0 where nothing but hidden pairs came so far.
func (p *panel) raise(t *tile, shrink func(c int, by float32)) {
	before := p.top
	t.raise(&p.top)
	for c, top := range p.top {
		p.shifts[0][c] = top
		switch {
		case math.IsInf(float64(top), -1):
			p.shifts[0][c] = 0
		case c < p.n && top > before[c]:
			shrink(c, simd.Exp1(before[c]-top))
		}
	}
}

// restart makes the panel ready for maxima and sums.
func (p *panel) restart() {
	for c := range p.top {
		p.top[c] = minusInfinity
	}
	p.totals = [4][simd.Panel]float64{}
}

// addExp replaces scores (rows, simd.Panel) by e^{scores − shifts[0]} and adds their sums to a total.
func (p *panel) addExp(total int, scores []float32, rows int) {
	simd.PanelExp(scores, p.shifts[0][:], p.sums[:], rows)
	for c, s := range p.sums {
		p.totals[total][c] += float64(s)
	}
}

// addPower adds the sums of e^{power·scores} to a total that is kept relative to e^{power·top}; before are the maxima before this tile.
// The scores stay, the spare tile is overwritten.
func (p *panel) addPower(total int, power float32, before *[simd.Panel]float32, t *tile) {
	for c, top := range p.top {
		p.shifts[0][c] = power * top
		switch {
		case math.IsInf(float64(top), -1):
			p.shifts[0][c] = 0
		case top > before[c]:
			p.totals[total][c] *= float64(simd.Exp1(power * (before[c] - top)))
		}
	}
	copy(t.spare, t.scores)
	simd.Scale(t.spare, power)
	p.addExp(total, t.spare, t.rows)
}
