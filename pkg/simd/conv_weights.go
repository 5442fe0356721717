package simd

import "sync"

// convPixels is the number of output positions that one chain of a weight gradient covers, about; it is part of the arithmetic.
const convPixels = 256

// convFew is the number of input channels below which a row of the kernel is the left operand, not one position of it.
const convFew = 8

// BackwardWeights computes dw, the gradient with respect to w, from dy and x, overwriting dw. The output positions of all images are
// cut in blocks (whole images while they have at most 256 positions together, else runs of lines of one image): each block is one chain of
// multiply-adds in the order of images, lines and columns, and the blocks are added in order.
func (c Conv) BackwardWeights(dw, dy, x []float32) {
	c.check("BackwardWeights", "dy", dy, "x", x, "dw", dw)
	if c.N == 0 {
		clear(dw[:c.K*c.K*c.Cin*c.Cout])
		return
	}
	r := weightRuns.Get().(*weightRun)
	defer r.release()
	r.conv, r.x, r.dy, r.dw = c, x, dy, dw
	r.few = c.Cin < convFew
	r.images = max(1, convPixels/(c.OutH()*c.OutW()))
	r.lines = c.OutH()
	if r.images == 1 {
		r.lines = min(c.OutH(), max(1, convPixels/c.OutW()))
	}
	r.plan()
	work := c.N * c.OutH() * c.OutW() * c.Cout * c.K * c.K * c.Cin
	r.divide(work > convSmall)
	each(r.xParts*r.yParts, work > convSmall, r.step)
}

// A weightRun is one BackwardWeights in progress. x is packed in panels of as many channels as a tile has rows, dy in panels of sixteen channels, both
// position by position; a tap then only selects which positions meet. With few channels x is packed with its padding instead: the channels
// of neighbouring positions follow each other, as those of a row of the kernel do.
type weightRun struct {
	conv      Conv
	x, dy, dw []float32
	few       bool

	images, lines  int // a block: images, or output lines of one image
	xParts, yParts int // units of work: parts of the rows and of the columns of the result

	taps   []tap
	bounds []int // taps of kernel position t and output line i: taps[bounds[t·OutH+i]:bounds[t·OutH+i+1]]

	step func(int)
}

var weightRuns = sync.Pool{New: func() any {
	r := new(weightRun)
	r.step = r.unit
	return r
}}

func (r *weightRun) release() {
	r.x, r.dy, r.dw = nil, nil, nil
	r.taps, r.bounds = r.taps[:0], r.bounds[:0]
	weightRuns.Put(r)
}

// rows is the number of rows of the result that share one packed run of x, kernelPositions the number of such groups of rows.
func (r *weightRun) rows() int {
	if r.few {
		return r.conv.K * r.conv.Cin
	}
	return r.conv.Cin
}

func (r *weightRun) kernelPositions() int {
	if r.few {
		return r.conv.K
	}
	return r.conv.K * r.conv.K
}

func (r *weightRun) xPanels() int { return (r.rows() + pairTileHeight() - 1) / pairTileHeight() }
func (r *weightRun) yPanels() int { return (r.conv.Cout + tileCols - 1) / tileCols }

// panelRows returns the rows of panel i.
func (r *weightRun) panelRows(i int) (first, count int) {
	first = i * pairTileHeight()
	return first, min(pairTileHeight(), r.rows()-first)
}

// xLine is the number of elements that a packed line of x has in a panel.
func (r *weightRun) xLine() int {
	if r.few {
		return (r.conv.W + 2*r.conv.Pad) * r.conv.Cin
	}
	return r.conv.W * pairTileHeight()
}

// divide cuts the result in parts, each a unit of work that packs what it needs: nobody waits for another. What two parts need is packed twice, so there are
// two for each thread that is idle, and one if the others have work of their own.
func (r *weightRun) divide(parallel bool) {
	r.xParts, r.yParts = 1, 1
	idle := idleThreads()
	if !parallel || idle == 1 {
		return
	}
	for r.xParts*r.yParts < 2*idle {
		x, y := r.xPanels()/r.xParts, r.yPanels()/r.yParts
		switch {
		case x <= 1 && y <= 1:
			return
		case y >= x:
			r.yParts *= 2
		default:
			r.xParts *= 2
		}
	}
}

// plan lists, for each kernel position, the pairs of input and output position that meet, line by line.
func (r *weightRun) plan() {
	c := r.conv
	for t := range r.kernelPositions() {
		for oh := range c.OutH() {
			r.bounds = append(r.bounds, len(r.taps))
			kh, kw := t/c.K, t%c.K
			if r.few {
				kh = t
			}
			ih := oh*c.Stride + kh - c.Pad
			if ih < 0 || ih >= c.H {
				continue
			}
			for ow := range c.OutW() {
				out := (oh%r.lines*c.OutW() + ow) * tileCols
				if r.few {
					r.taps = append(r.taps, tap{ih*r.xLine() + ow*c.Stride*c.Cin, out})
					continue
				}
				if iw := ow*c.Stride + kw - c.Pad; iw >= 0 && iw < c.W {
					r.taps = append(r.taps, tap{(ih*c.W + iw) * pairTileHeight(), out})
				}
			}
		}
	}
	r.bounds = append(r.bounds, len(r.taps))
}

// A weightUnit is one part of the result in progress.
type weightUnit struct {
	*weightRun
	x0, x1, y0, y1 int // its panels
	image, images  int // the images of the block
	xs, ys         []float32
}

func (r *weightRun) unit(i int) {
	u := weightUnit{weightRun: r}
	u.x0, u.x1 = share(i%r.xParts, r.xParts, r.xPanels())
	u.y0, u.y1 = share(i/r.xParts, r.yParts, r.yPanels())
	xBuffer, yBuffer := borrow(), borrow()
	defer xBuffer.giveBack()
	defer yBuffer.giveBack()
	panels := u.x1 - u.x0
	if r.few {
		panels = 1
	}
	u.xs = xBuffer.floats(panels * r.images * r.conv.H * r.xLine())
	u.ys = yBuffer.floats((u.y1 - u.y0) * r.images * r.lines * r.conv.OutW() * tileCols)
	for u.image = 0; u.image < r.conv.N; u.image += r.images {
		u.images = min(r.images, r.conv.N-u.image)
		u.blocks()
	}
}

// blocks adds the blocks of the current images: one, or several runs of lines of one image. Input lines are packed when they are first met.
func (u *weightUnit) blocks() {
	c := u.conv
	packed := 0
	for line := 0; line < c.OutH(); line += u.lines {
		end := min(line+u.lines, c.OutH())
		next := u.needs(end)
		if need := min(c.H, max(0, (end-1)*c.Stride-c.Pad+c.K)); need > packed {
			for n := range u.images {
				u.packX(n, packed, need)
			}
			packed = need
		}
		u.packY(line, end)
		u.tiles(line, end, &next)
	}
}

// needs is the memory that the block which begins at an output line needs, if a block is lines of one image. Behind the last line it is the next image's.
func (u *weightUnit) needs(line int) ahead {
	c := u.conv
	image := u.image
	if line == c.OutH() {
		image, line = image+1, 0
	}
	if u.images > 1 || image >= c.N {
		return ahead{}
	}
	end := min(line+u.lines, c.OutH())
	from, to := min(c.H, max(0, (line-1)*c.Stride+c.K-c.Pad)), min(c.H, max(0, (end-1)*c.Stride+c.K-c.Pad))
	if line == 0 {
		from = 0
	}
	return ahead{[2]run{
		stretch(u.x[(image*c.H+from)*c.W*c.Cin : (image*c.H+to)*c.W*c.Cin]),
		stretch(u.dy[(image*c.OutH()+line)*c.OutW()*c.Cout : (image*c.OutH()+end)*c.OutW()*c.Cout]),
	}}
}

// packX packs input lines [from, to) of image n of the block.
func (u *weightUnit) packX(n, from, to int) {
	c := u.conv
	x := u.x[((u.image+n)*c.H+from)*c.W*c.Cin:]
	if u.few {
		lines := u.xs[(n*c.H+from)*u.xLine() : (n*c.H+to)*u.xLine()]
		for len(lines) > 0 {
			clear(lines[:c.Pad*c.Cin])
			copy(lines[c.Pad*c.Cin:], x[:c.W*c.Cin])
			clear(lines[(c.Pad+c.W)*c.Cin : u.xLine()])
			lines, x = lines[u.xLine():], x[c.W*c.Cin:]
		}
		return
	}
	for i := u.x0; i < u.x1; i++ {
		first, count := u.panelRows(i)
		at := ((i-u.x0)*u.weightRun.images + n) * c.H
		packEntries(u.xs[(at+from)*u.xLine():(at+to)*u.xLine()], x[first:], c.Cin, (to-from)*c.W, count)
	}
}

// packEntries copies k rows of width floats to entries as wide as a tile of pairs is high, the missing ones zero.
func packEntries(dst, src []float32, ld, k, width int) {
	if pairTileHeight() == tileCols {
		packPanel(dst, src, ld, false, 0, k, 0, width)
		return
	}
	packColumns(dst, src, ld, k, width)
}

// packY packs output lines [line, end) of the images of the block.
func (u *weightUnit) packY(line, end int) {
	c := u.conv
	image := c.OutH() * c.OutW() * c.Cout
	size := u.lines * c.OutW() * tileCols // of an image in a panel
	for j := u.y0; j < u.y1; j++ {
		col := j * tileCols
		for n := range u.images {
			at := ((j-u.y0)*u.weightRun.images + n) * size
			packPanel(u.ys[at:at+size], u.dy[(u.image+n)*image+line*c.OutW()*c.Cout:], c.Cout, false, 0, (end-line)*c.OutW(), col, min(tileCols, c.Cout-col))
		}
	}
}

// tiles adds one block of lines.
func (u *weightUnit) tiles(line, end int, next *ahead) {
	c := u.conv
	xStep, yStep := c.H*u.xLine(), u.lines*c.OutW()*tileCols
	add := u.image > 0 || line > 0
	for t := range u.kernelPositions() {
		taps := u.taps[u.bounds[t*c.OutH()+line]:u.bounds[t*c.OutH()+end]]
		for i := u.x0; i < u.x1; i++ {
			first, count := u.panelRows(i)
			a := u.xs[first:]
			if !u.few {
				a = u.xs[(i-u.x0)*u.weightRun.images*xStep:]
			}
			for j := u.y0; j < u.y1; j++ {
				col := j * tileCols
				dw := u.dw[(t*u.rows()+first)*c.Cout+col:]
				pairTile(count, min(tileCols, c.Cout-col), dw, c.Cout, a, u.ys[(j-u.y0)*u.weightRun.images*yStep:], taps, u.images, xStep, yStep, add,
					next.take(askedInPairTile(len(taps), u.images)))
			}
		}
	}
}
