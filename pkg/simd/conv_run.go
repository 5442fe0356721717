package simd

import "sync"

// A convRun is one Forward or BackwardData in progress: both read an image at some taps for each position of another and multiply by
// a matrix a tap. It is pooled with its plan and panels.
type convRun struct {
	conv               Conv
	src, dst           []float32
	srcImage, dstImage int // elements an image
	depth, cols        int // channels of src and of dst

	groups []convGroup
	taps   []tap
	packed scratch // panels of 16 output channels: (K·K, depth, 16)

	w          []float32
	packStep   func(int)
	transposed bool // w is packed for BackwardData

	lines, spots         []convGroup // the groups computed image by image, and those computed over all images at once
	imageRuns            int         // runs that the images are cut in
	lineParts, spotParts int         // units of work that such a run and a column of tiles are cut in

	step func(int)
}

// A convGroup is a run of positions of dst that have the same taps, each tap a constant distance further from one position
// to the next. Offsets are in elements, inside an image.
type convGroup struct {
	dst, dstStep int
	srcStep      int
	count        int
	lo, hi       int // its taps: those of the first position
	joined       int // as many kernel columns, which lie side by side in src and in the panels, make one tap
}

// convLine is the number of positions from which a group is worth computing as rows of a tile, image by image. Shorter ones
// take the same position of many images as the rows: no image is then too small.
const convLine = 12

// convSmall is the number of multiply-adds below which a convolution is not worth a second thread.
const convSmall = 1 << 21

var convRuns = sync.Pool{New: func() any {
	r := new(convRun)
	r.step, r.packStep = r.unit, r.packPanelOf
	return r
}}

func (r *convRun) release() {
	r.src, r.dst, r.w = nil, nil, nil
	r.groups, r.lines, r.spots, r.taps = r.groups[:0], r.lines[:0], r.spots[:0], r.taps[:0]
	convRuns.Put(r)
}

// planForward lists the groups of y: the taps of (oh, ow) are those whose input position is inside the image. The channels of taps side by side in one row of
// the kernel follow each other in x as in w, and make one long tap.
func (r *convRun) planForward() {
	c := r.conv
	for oh := range c.OutH() {
		for ow := range c.OutW() {
			first := len(r.taps)
			iw := ow*c.Stride - c.Pad
			lo, hi := max(0, -iw), min(c.K, c.W-iw)
			for kh := range c.K {
				ih := oh*c.Stride + kh - c.Pad
				if ih >= 0 && ih < c.H && lo < hi {
					r.taps = append(r.taps, tap{(ih*c.W + iw + lo) * c.Cin, (kh*c.K + lo) * c.Cin * tileCols})
				}
			}
			r.place(first, hi-lo, (oh*c.OutW()+ow)*c.Cout, c.Cout, c.Stride*c.Cin)
		}
	}
}

// planBackward lists the groups of dx: the taps of (ih, iw) are the outputs that read it. Positions a stride apart share their taps' weights.
func (r *convRun) planBackward() {
	c := r.conv
	for ih := range c.H {
		for phase := range min(c.Stride, c.W) {
			for iw := phase; iw < c.W; iw += c.Stride {
				first := len(r.taps)
				for kh := range c.K {
					for kw := range c.K {
						oh, okh := outputOf(ih+c.Pad-kh, c.Stride, c.OutH())
						ow, okw := outputOf(iw+c.Pad-kw, c.Stride, c.OutW())
						if okh && okw {
							r.taps = append(r.taps, tap{(oh*c.OutW() + ow) * c.Cout, (kh*c.K + kw) * c.Cout * tileCols})
						}
					}
				}
				r.place(first, 1, (ih*c.W+iw)*c.Cin, c.Stride*c.Cin, c.Cout)
			}
		}
	}
}

// outputOf returns the output position whose window starts at the padded position at, if there is one.
func outputOf(at, stride, size int) (int, bool) {
	if at < 0 || at%stride != 0 || at/stride >= size {
		return 0, false
	}
	return at / stride, true
}

// place adds the position at dst, whose taps are r.taps[first:], to the last group if it continues it, else to a new one.
func (r *convRun) place(first, joined, dst, dstStep, srcStep int) {
	taps := r.taps[first:]
	if n := len(r.groups); n > 0 {
		g := &r.groups[n-1]
		if dst == g.dst+g.count*dstStep && joined == g.joined && r.continues(g, taps, srcStep) {
			g.count++
			r.taps = r.taps[:first]
			return
		}
	}
	r.groups = append(r.groups, convGroup{dst, dstStep, srcStep, 1, first, len(r.taps), joined})
}

func (r *convRun) continues(g *convGroup, taps []tap, srcStep int) bool {
	if len(taps) != g.hi-g.lo {
		return false
	}
	for i, t := range r.taps[g.lo:g.hi] {
		if taps[i].b != t.b || taps[i].a != t.a+g.count*srcStep {
			return false
		}
	}
	return true
}

func (r *convRun) panelCount() int { return (r.cols + tileCols - 1) / tileCols }

// panelSize is the number of elements of a panel.
func (r *convRun) panelSize() int { return r.conv.K * r.conv.K * r.depth * tileCols }

// pack packs w (K·K·Cin, Cout), or for BackwardData the transpose of each tap of it.
func (r *convRun) pack() {
	r.packed.floats(r.panelCount() * r.panelSize())
	each(r.panelCount(), r.panelCount()*r.panelSize() > convSmall/8, r.packStep)
}

func (r *convRun) packPanelOf(j int) {
	panel := r.packed.buf[j*r.panelSize() : (j+1)*r.panelSize()]
	col := j * tileCols
	width := min(tileCols, r.cols-col)
	if !r.transposed {
		packPanel(panel, r.w, r.cols, false, 0, len(panel)/tileCols, col, width)
		return
	}
	size := r.depth * tileCols
	for t := range r.conv.K * r.conv.K {
		packPanel(panel[t*size:(t+1)*size], r.w[t*r.cols*r.depth:], r.depth, true, 0, r.depth, col, width)
	}
}

// each calls f(0) … f(n−1), in parallel if that pays.
func each(n int, parallel bool, f func(int)) {
	if parallel {
		Parallel(n, f)
		return
	}
	for i := range n {
		f(i)
	}
}

// tileColumns is the number of tiles that lie side by side.
func (r *convRun) tileColumns() int { return (r.cols + rowTileWidth() - 1) / rowTileWidth() }

// execute computes all groups. In a unit of work one column of tiles follows the other, so that its weights stay in the cache.
func (r *convRun) execute() {
	r.pack()
	work := 0
	for _, g := range r.groups {
		work += g.count * (g.hi - g.lo) * g.joined
		if g.count >= convLine {
			r.lines = append(r.lines, g)
		} else {
			r.spots = append(r.spots, g)
		}
	}
	r.lineParts, r.spotParts = 1, min(4, len(r.spots))
	lineUnits := 0
	if len(r.lines) > 0 {
		r.imageRuns = min(r.conv.N, 16)
		if r.conv.N < 8 {
			r.lineParts = min(8, len(r.lines))
		}
		lineUnits = r.imageRuns * r.lineParts
	}
	each(lineUnits+r.tileColumns()*r.spotParts, work*r.conv.N*r.depth*r.cols > convSmall, r.step)
}

func (r *convRun) unit(i int) {
	if len(r.lines) > 0 {
		if i < r.imageRuns*r.lineParts {
			r.images(i/r.lineParts, i%r.lineParts)
			return
		}
		i -= r.imageRuns * r.lineParts
	}
	r.column(i/r.spotParts, i%r.spotParts)
}

// images computes a part of the lines of a run of images.
func (r *convRun) images(run, part int) {
	first, last := share(part, r.lineParts, len(r.lines))
	lines := r.lines[first:last]
	image, end := share(run, r.imageRuns, r.conv.N)
	for n := image; n < end; n++ {
		var next ahead
		for t := range r.tileColumns() {
			for i, g := range lines {
				if t == 0 && i+1 < len(lines) {
					next = r.needs(n, lines[i+1], false)
				}
				if t+1 == r.tileColumns() && i+1 == len(lines) && n+1 < end {
					next = r.needs(n+1, lines[0], true)
				}
				r.tiles(t, g, n*r.dstImage+g.dst, g.dstStep, g.count, n*r.srcImage, g.srcStep, &next)
			}
		}
	}
}

// needs is the memory that a group of image n needs: what its last tap reads, or all that its taps read, and what it writes.
func (r *convRun) needs(n int, g convGroup, all bool) ahead {
	near, far := len(r.src), 0
	for _, t := range r.taps[g.lo:g.hi] {
		near, far = min(near, t.a), max(far, t.a)
	}
	if !all {
		near = far
	}
	src, dst := r.src[n*r.srcImage:], r.dst[n*r.dstImage:]
	far += (g.count-1)*g.srcStep + g.joined*r.depth
	return ahead{[2]run{stretch(src[min(near, far):far]), stretch(dst[g.dst : g.dst+(g.count-1)*g.dstStep+r.cols])}}
}

// column computes a part of the spots of all images, in one column of tiles.
func (r *convRun) column(t, part int) {
	first, last := share(part, r.spotParts, len(r.spots))
	for _, g := range r.spots[first:last] {
		for p := range g.count {
			r.tiles(t, g, g.dst+p*g.dstStep, r.dstImage, r.conv.N, p*g.srcStep, r.srcImage, nil)
		}
	}
}

// tiles computes rows of dst, which start at dst and lie dstStep apart, in column t of tiles, with the taps of a group from src on.
func (r *convRun) tiles(t int, g convGroup, dst, dstStep, rows, src, srcStep int, next *ahead) {
	col := t * rowTileWidth()
	panels := r.packed.buf[col/tileCols*r.panelSize() : r.panelCount()*r.panelSize()]
	rowTiles(r.dst[dst+col:], dstStep, min(rowTileWidth(), r.cols-col), rows, r.src[src:], srcStep, panels, r.panelSize(),
		r.taps[g.lo:g.hi], r.depth*g.joined, false, next)
}
