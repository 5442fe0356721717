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
	chunks int     // units of work a panel

	step func(int)
}

// A convGroup is a run of positions of one line of dst that have the same taps, each tap a constant distance further from one position
// to the next. Offsets are in elements, inside an image.
type convGroup struct {
	dst, dstStep int
	srcStep      int
	count        int
	lo, hi       int // its taps: those of the first position
}

// convLine is the number of positions from which a group is worth computing as rows of a tile, image by image. Shorter ones
// take the same position of many images as the rows: no image is then too small.
const convLine = 12

// convSmall is the number of multiply-adds below which a convolution is not worth a second thread.
const convSmall = 1 << 21

var convRuns = sync.Pool{New: func() any {
	r := new(convRun)
	r.step = r.unit
	return r
}}

func (r *convRun) release() {
	r.src, r.dst = nil, nil
	r.groups, r.taps = r.groups[:0], r.taps[:0]
	convRuns.Put(r)
}

// planForward lists the groups of y: the taps of (oh, ow) are those whose input position is inside the image.
func (r *convRun) planForward() {
	c := r.conv
	for oh := range c.OutH() {
		for ow := range c.OutW() {
			first := len(r.taps)
			for kh := range c.K {
				for kw := range c.K {
					ih, iw := oh*c.Stride+kh-c.Pad, ow*c.Stride+kw-c.Pad
					if ih >= 0 && ih < c.H && iw >= 0 && iw < c.W {
						r.taps = append(r.taps, tap{(ih*c.W + iw) * c.Cin, (kh*c.K + kw) * c.Cin * tileCols})
					}
				}
			}
			r.place(first, (oh*c.OutW()+ow)*c.Cout, c.Cout, c.Stride*c.Cin, ow == 0)
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
				r.place(first, (ih*c.W+iw)*c.Cin, c.Stride*c.Cin, c.Cout, iw == phase)
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
func (r *convRun) place(first, dst, dstStep, srcStep int, newLine bool) {
	taps := r.taps[first:]
	if n := len(r.groups); n > 0 && !newLine {
		g := &r.groups[n-1]
		if r.continues(g, taps, srcStep) {
			g.count++
			r.taps = r.taps[:first]
			return
		}
	}
	r.groups = append(r.groups, convGroup{dst, dstStep, srcStep, 1, first, len(r.taps)})
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

// packWeights packs w (K·K·Cin, Cout) for Forward.
func (r *convRun) packWeights(w []float32) {
	k := r.conv.K * r.conv.K * r.depth
	buf := r.packed.floats(r.panelCount() * k * tileCols)
	for j := range r.panelCount() {
		col := j * tileCols
		packPanel(buf[j*k*tileCols:(j+1)*k*tileCols], w, r.cols, false, 0, k, col, min(tileCols, r.cols-col))
	}
}

// packTransposedWeights packs the transpose of each tap of w for BackwardData.
func (r *convRun) packTransposedWeights(w []float32) {
	taps := r.conv.K * r.conv.K
	size := r.depth * tileCols
	buf := r.packed.floats(r.panelCount() * taps * size)
	for j := range r.panelCount() {
		col := j * tileCols
		for t := range taps {
			panel := buf[(j*taps+t)*size : (j*taps+t+1)*size]
			packPanel(panel, w[t*r.cols*r.depth:], r.depth, true, 0, r.depth, col, min(tileCols, r.cols-col))
		}
	}
}

func (r *convRun) panelCount() int { return (r.cols + tileCols - 1) / tileCols }

// execute computes all groups for all panels. Panels come outermost: one panel's weights stay in the cache while the images pass.
func (r *convRun) execute() {
	r.chunks = 1
	if len(r.taps)*r.conv.N*r.depth*r.cols > convSmall {
		r.chunks = min(4, len(r.groups))
	}
	if r.chunks == 1 {
		for i := range r.panelCount() {
			r.unit(i)
		}
		return
	}
	Parallel(r.panelCount()*r.chunks, r.step)
}

func (r *convRun) unit(i int) {
	panel, chunk := i/r.chunks, i%r.chunks
	size := r.conv.K * r.conv.K * r.depth * tileCols
	b := r.packed.buf[panel*size : (panel+1)*size]
	col := panel * tileCols
	width := min(tileCols, r.cols-col)
	for _, g := range r.groups[chunk*len(r.groups)/r.chunks : (chunk+1)*len(r.groups)/r.chunks] {
		taps := r.taps[g.lo:g.hi]
		if g.count >= convLine {
			for n := range r.conv.N {
				rowTiles(r.dst[n*r.dstImage+g.dst+col:], g.dstStep, width, g.count, r.src[n*r.srcImage:], g.srcStep, b, taps, r.depth, false)
			}
			continue
		}
		for p := range g.count {
			rowTiles(r.dst[g.dst+p*g.dstStep+col:], r.dstImage, width, r.conv.N, r.src[p*g.srcStep:], r.srcImage, b, taps, r.depth, false)
		}
	}
}
