package simd

import "sync"

// convPixels is the number of output positions that one chain of a weight gradient covers, about; it is part of the arithmetic.
const convPixels = 256

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
	r.patches = c.Cin < tileRows/2
	r.plan()
	images := max(1, convPixels/(c.OutH()*c.OutW()))
	r.lines = c.OutH()
	if images == 1 {
		r.lines = min(c.OutH(), max(1, convPixels/c.OutW()))
	}
	for n := 0; n < c.N; n += images {
		r.image, r.images = n, min(images, c.N-n)
		r.packX()
		r.packY()
		if r.images*c.OutH()*c.OutW()*c.Cout*c.K*c.K*c.Cin > convSmall {
			Parallel(r.yPanels(), r.step)
			continue
		}
		for j := range r.yPanels() {
			r.unit(j)
		}
	}
}

// A weightRun is one BackwardWeights in progress. x is packed in panels of up to six rows of the result, dy in panels of sixteen columns, both position by
// position; a tap then only selects which positions meet.
type weightRun struct {
	conv      Conv
	x, dy, dw []float32
	patches   bool // few input channels: the rows of the result are packed tap by tap, not shared between taps

	image, images int // the images now packed
	lines         int // output lines a block

	taps    []tap
	bounds  []int // taps of kernel position t and output line i: taps[bounds[t·OutH+i]:bounds[t·OutH+i+1]]
	xPacked scratch
	yPacked scratch

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
	if r.patches {
		return r.conv.K * r.conv.K * r.conv.Cin
	}
	return r.conv.Cin
}

func (r *weightRun) kernelPositions() int {
	if r.patches {
		return 1
	}
	return r.conv.K * r.conv.K
}

func (r *weightRun) xPanels() int { return (r.rows() + tileRows - 1) / tileRows }
func (r *weightRun) yPanels() int { return (r.conv.Cout + tileCols - 1) / tileCols }

// panelRows returns the rows of panel i.
func (r *weightRun) panelRows(i int) (first, count int) {
	first = i * r.rows() / r.xPanels()
	return first, (i+1)*r.rows()/r.xPanels() - first
}

// positions is the number of packed positions of x an image.
func (r *weightRun) positions() int {
	if r.patches {
		return r.conv.OutH() * r.conv.OutW()
	}
	return r.conv.H * r.conv.W
}

// plan lists, for each kernel position, the pairs of input and output position that meet, line by line.
func (r *weightRun) plan() {
	c := r.conv
	for t := range r.kernelPositions() {
		for oh := range c.OutH() {
			r.bounds = append(r.bounds, len(r.taps))
			for ow := range c.OutW() {
				out := oh*c.OutW() + ow
				in := out
				if !r.patches {
					ih, iw := oh*c.Stride+t/c.K-c.Pad, ow*c.Stride+t%c.K-c.Pad
					if ih < 0 || ih >= c.H || iw < 0 || iw >= c.W {
						continue
					}
					in = ih*c.W + iw
				}
				r.taps = append(r.taps, tap{in * tileRows, out * tileCols})
			}
		}
	}
	r.bounds = append(r.bounds, len(r.taps))
}

func (r *weightRun) packX() {
	c := r.conv
	size := r.images * r.positions() * tileRows
	buf := r.xPacked.floats(r.xPanels() * size)
	for i := range r.xPanels() {
		panel := buf[i*size : (i+1)*size]
		first, count := r.panelRows(i)
		if r.patches {
			r.packPatches(panel, first, count)
			continue
		}
		packColumns(panel, r.x[r.image*c.H*c.W*c.Cin+first:], c.Cin, r.images*c.H*c.W, count)
	}
}

// packPatches packs rows first … first+count of the patch matrix (tap and channel, position), zero on the padding.
func (r *weightRun) packPatches(panel []float32, first, count int) {
	c := r.conv
	clear(panel)
	for i := range count {
		t, channel := (first+i)/c.Cin, (first+i)%c.Cin
		at := t%c.K - c.Pad // the input column of output column 0
		lo, hi := insideColumns(at, c.Stride, c.W, c.OutW())
		for n := range r.images {
			for oh := range c.OutH() {
				ih := oh*c.Stride + t/c.K - c.Pad
				if ih < 0 || ih >= c.H || lo >= hi {
					continue
				}
				from := (((r.image+n)*c.H+ih)*c.W+at+lo*c.Stride)*c.Cin + channel
				to := ((n*c.OutH()+oh)*c.OutW()+lo)*tileRows + i
				for range hi - lo {
					panel[to] = r.x[from]
					from += c.Stride * c.Cin
					to += tileRows
				}
			}
		}
	}
}

// insideColumns returns the output columns [lo, hi) whose input column, at + column·stride, is inside an image of a width.
func insideColumns(at, stride, width, outWidth int) (lo, hi int) {
	if at < 0 {
		lo = (-at + stride - 1) / stride
	}
	if width > at {
		hi = min(outWidth, (width-1-at)/stride+1)
	}
	return lo, hi
}

func (r *weightRun) packY() {
	c := r.conv
	positions := r.images * c.OutH() * c.OutW()
	buf := r.yPacked.floats(r.yPanels() * positions * tileCols)
	dy := r.dy[r.image*c.OutH()*c.OutW()*c.Cout:]
	for j := range r.yPanels() {
		col := j * tileCols
		packPanel(buf[j*positions*tileCols:(j+1)*positions*tileCols], dy, c.Cout, false, 0, positions, col, min(tileCols, c.Cout-col))
	}
}

// unit computes one panel of columns of dw from the images now packed.
func (r *weightRun) unit(j int) {
	c := r.conv
	xStep, yStep := r.positions()*tileRows, c.OutH()*c.OutW()*tileCols
	b := r.yPacked.buf[j*r.images*yStep : (j+1)*r.images*yStep]
	col := j * tileCols
	width := min(tileCols, c.Cout-col)
	for line := 0; line < c.OutH(); line += r.lines {
		end := min(line+r.lines, c.OutH())
		for t := range r.kernelPositions() {
			taps := r.taps[r.bounds[t*c.OutH()+line]:r.bounds[t*c.OutH()+end]]
			for i := range r.xPanels() {
				first, count := r.panelRows(i)
				a := r.xPacked.buf[i*r.images*xStep : (i+1)*r.images*xStep]
				dw := r.dw[(t*r.rows()+first)*c.Cout+col:]
				r.tile(dw, width, count, a, b, taps, xStep, yStep, r.image > 0 || line > 0)
			}
		}
	}
}

func (r *weightRun) tile(dw []float32, width, count int, a, b []float32, taps []tap, xStep, yStep int, add bool) {
	if width == tileCols {
		pairTile(count, dw, r.conv.Cout, a, b, taps, r.images, xStep, yStep, add)
		return
	}
	var edge [tileRows * tileCols]float32
	pairTile(count, edge[:], tileCols, a, b, taps, r.images, xStep, yStep, false)
	storeEdge(dw, r.conv.Cout, count, width, &edge, add)
}
