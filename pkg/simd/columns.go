package simd

import (
	"fmt"
	"sync"
)

// Columns is the geometry of work on the columns of matrices: x stands for Groups matrices of (Rows, Cols), one after the other, and a row of
// values is (Groups, Cols), one for each of their columns. Rows are taken in blocks of 128, on several threads; a sum runs down each block in
// order, and the blocks' sums are added in order.
//
// The methods are the passes of batch and group norm. With factor = γ/√(var + eps) and shift = β − mean·factor, the norm is x·factor + shift.
type Columns struct{ Groups, Rows, Cols int }

// columnRun is the number of rows that one chain of a column sum covers.
const columnRun = 128

// columnsSmall is the number of elements below which a pass is not worth a second thread, columnsUnits the number of units of work aimed at.
const (
	columnsSmall = 1 << 15
	columnsUnits = 16
)

// Moments computes each column's mean and the sum of its squared distances from it. The latter comes from the distances from each block's own
// mean, so that the matrix is read once.
func (c Columns) Moments(mean, sqDev, x []float32) {
	c.want("Moments", x)
	c.wantRows("Moments", mean, sqDev)
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.run(c, 2, [4][]float32{x}, [4][]float32{}, func(b columnsBlock) {
		moments(b.sums[0], b.sums[1], b.mats[0], 1/float32(b.rows), b.rows, b.cols)
	})
	r.moments(mean, sqDev)
}

// ScaleShift computes y = x·factor + shift; y may be x.
func (c Columns) ScaleShift(y, x, factor, shift []float32) {
	c.want("ScaleShift", y, x)
	c.wantRows("ScaleShift", factor, shift)
	c.each([4][]float32{y, x}, [4][]float32{factor, shift}, func(b columnsBlock) {
		scaleShift(b.mats[0], b.mats[1], b.vals[0], b.vals[1], b.rows, b.cols)
	})
}

// ScaleShiftReLU computes y = max(x·factor + shift, 0); y may be x. NaN stays NaN.
func (c Columns) ScaleShiftReLU(y, x, factor, shift []float32) {
	c.want("ScaleShiftReLU", y, x)
	c.wantRows("ScaleShiftReLU", factor, shift)
	c.each([4][]float32{y, x}, [4][]float32{factor, shift}, func(b columnsBlock) {
		scaleShiftReLU(b.mats[0], b.mats[1], b.vals[0], b.vals[1], b.rows, b.cols)
	})
}

// ScaleShiftAddReLU computes y = max((x·factor + shift) + r, 0); y may be x or r. NaN stays NaN.
func (c Columns) ScaleShiftAddReLU(y, x, r, factor, shift []float32) {
	c.want("ScaleShiftAddReLU", y, x, r)
	c.wantRows("ScaleShiftAddReLU", factor, shift)
	c.each([4][]float32{y, x, r}, [4][]float32{factor, shift}, func(b columnsBlock) {
		scaleShiftAddReLU(b.mats[0], b.mats[1], b.mats[2], b.vals[0], b.vals[1], b.rows, b.cols)
	})
}

// Affine2 computes dst = x·f + (y·g + h); dst may be x or y.
func (c Columns) Affine2(dst, x, y, f, g, h []float32) {
	c.want("Affine2", dst, x, y)
	c.wantRows("Affine2", f, g, h)
	c.each([4][]float32{dst, x, y}, [4][]float32{f, g, h}, func(b columnsBlock) {
		affine2(b.mats[0], b.mats[1], b.mats[2], b.vals[0], b.vals[1], b.vals[2], b.rows, b.cols)
	})
}

// Affine2ReLU computes dst = max(x·f + (y·g + h), 0); dst may be x or y. NaN stays NaN.
func (c Columns) Affine2ReLU(dst, x, y, f, g, h []float32) {
	c.want("Affine2ReLU", dst, x, y)
	c.wantRows("Affine2ReLU", f, g, h)
	c.each([4][]float32{dst, x, y}, [4][]float32{f, g, h}, func(b columnsBlock) {
		affine2ReLU(b.mats[0], b.mats[1], b.mats[2], b.vals[0], b.vals[1], b.vals[2], b.rows, b.cols)
	})
}

// Affine2Masked computes dx = dy′·factor + (x·g + h), where dy′ is dy where x·factor + shift is above 0, else 0: the gradient through a
// norm and the ReLU behind it. dx may be dy or x.
func (c Columns) Affine2Masked(dx, dy, x, factor, shift, g, h []float32) {
	c.want("Affine2Masked", dx, dy, x)
	c.wantRows("Affine2Masked", factor, shift, g, h)
	c.each([4][]float32{dx, dy, x}, [4][]float32{factor, shift, g, h}, func(b columnsBlock) {
		affine2Masked(b.mats[0], b.mats[1], b.mats[2], b.vals[0], b.vals[1], b.vals[2], b.vals[3], b.rows, b.cols)
	})
}

// SumDotDev computes sum = Σ dy and dot = Σ dy·(x−mean) of each column.
func (c Columns) SumDotDev(sum, dot, dy, x, mean []float32) {
	c.want("SumDotDev", dy, x)
	c.wantRows("SumDotDev", sum, dot, mean)
	c.sum([2][]float32{sum, dot}, [4][]float32{dy, x}, [4][]float32{mean}, func(b columnsBlock) {
		sumDotDev(b.sums[0], b.sums[1], b.mats[0], b.mats[1], b.vals[0], b.rows, b.cols)
	})
}

// SumDotDevReLU is SumDotDev of dy where x·factor + shift is above 0, of 0 elsewhere.
func (c Columns) SumDotDevReLU(sum, dot, dy, x, factor, shift, mean []float32) {
	c.want("SumDotDevReLU", dy, x)
	c.wantRows("SumDotDevReLU", sum, dot, factor, shift, mean)
	c.sum([2][]float32{sum, dot}, [4][]float32{dy, x}, [4][]float32{factor, shift, mean}, func(b columnsBlock) {
		sumDotDevReLU(b.sums[0], b.sums[1], b.mats[0], b.mats[1], b.vals[0], b.vals[1], b.vals[2], b.rows, b.cols)
	})
}

// SumDotDevMasked is SumDotDev of dy where y is above 0, of 0 elsewhere; dy is overwritten by what was summed.
func (c Columns) SumDotDevMasked(sum, dot, dy, y, x, mean []float32) {
	c.want("SumDotDevMasked", dy, y, x)
	c.wantRows("SumDotDevMasked", sum, dot, mean)
	c.sum([2][]float32{sum, dot}, [4][]float32{dy, y, x}, [4][]float32{mean}, func(b columnsBlock) {
		sumDotDevMasked(b.mats[0], b.sums[0], b.sums[1], b.mats[1], b.mats[2], b.vals[0], b.rows, b.cols)
	})
}

// want checks the lengths of matrices, wantRows those of rows of values.
func (c Columns) want(op string, matrices ...[]float32) {
	if c.Groups < 0 || c.Rows < 0 || c.Cols < 0 {
		panic(fmt.Sprintf("simd: Columns.%s: negative size: %+v", op, c))
	}
	for i, m := range matrices {
		if len(m) < c.Groups*c.Rows*c.Cols {
			panic(fmt.Sprintf("simd: Columns.%s: matrix %d has %d elements, %+v needs %d", op, i, len(m), c, c.Groups*c.Rows*c.Cols))
		}
	}
}

func (c Columns) wantRows(op string, rows ...[]float32) {
	for i, v := range rows {
		if len(v) < c.Groups*c.Cols {
			panic(fmt.Sprintf("simd: Columns.%s: row %d has %d values, %+v needs %d", op, i, len(v), c, c.Groups*c.Cols))
		}
	}
}

// A columnsBlock is what a kernel works on: a block of the matrices, the group's rows of values, and where the block's sums go.
type columnsBlock struct {
	rows, cols int
	mats       [4][]float32
	vals       [4][]float32
	sums       [2][]float32
	perRow     [2][]float32
	eps        float64
}

// clearSums is for kernels that add to the sums; others write them.
func (b columnsBlock) clearSums() {
	clear(b.sums[0])
	clear(b.sums[1])
}

// A columnsRun is one pass in progress. It is pooled, with its step bound once, so that a pass allocates nothing.
type columnsRun struct {
	Columns
	mats    [4][]float32
	vals    [4][]float32
	perRow  [2][]float32 // of layer norm: one value a row
	eps     float64
	kernel  func(columnsBlock)
	blocks  int     // blocks of a group
	units   int     // units of work, each a run of blocks
	sums    int     // sums that the kernel makes
	partial scratch // (Groups, blocks, sums, Cols)
	step    func(int)
}

var columnsRuns = sync.Pool{New: func() any {
	r := new(columnsRun)
	r.step = r.unit
	return r
}}

func (r *columnsRun) release() {
	r.mats, r.vals, r.perRow, r.kernel = [4][]float32{}, [4][]float32{}, [2][]float32{}, nil
	columnsRuns.Put(r)
}

// each runs a kernel that makes no sums.
func (c Columns) each(mats [4][]float32, vals [4][]float32, kernel func(columnsBlock)) {
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.run(c, 0, mats, vals, kernel)
}

// sum runs a kernel that makes two sums and adds those of the blocks in order.
func (c Columns) sum(sums [2][]float32, mats [4][]float32, vals [4][]float32, kernel func(columnsBlock)) {
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.run(c, len(sums), mats, vals, kernel)
	for i, dst := range sums {
		r.addBlocks(dst, i)
	}
}

// sumOne runs a kernel that makes one sum.
func (c Columns) sumOne(dst []float32, mats [4][]float32, vals [4][]float32, kernel func(columnsBlock)) {
	r := columnsRuns.Get().(*columnsRun)
	defer r.release()
	r.run(c, 1, mats, vals, kernel)
	r.addBlocks(dst, 0)
}

// run calls the kernel for all blocks.
func (r *columnsRun) run(c Columns, sums int, mats [4][]float32, vals [4][]float32, kernel func(columnsBlock)) {
	r.Columns, r.sums, r.mats, r.vals, r.kernel = c, sums, mats, vals, kernel
	r.blocks = (c.Rows + columnRun - 1) / columnRun
	r.partial.floats(c.Groups * r.blocks * sums * c.Cols)
	r.units = min(columnsUnits, c.Groups*r.blocks)
	if c.Groups*c.Rows*c.Cols < columnsSmall {
		r.units = min(1, r.units)
	}
	Parallel(r.units, r.step)
}

func (r *columnsRun) unit(i int) {
	all := r.Groups * r.blocks
	for k := i * all / r.units; k < (i+1)*all/r.units; k++ {
		r.kernel(r.block(k))
	}
}

func (r *columnsRun) block(k int) columnsBlock {
	group, first := k/r.blocks, k%r.blocks*columnRun
	b := columnsBlock{rows: min(columnRun, r.Rows-first), cols: r.Cols, eps: r.eps}
	at := (group*r.Rows + first) * r.Cols
	for i, m := range r.mats {
		if m != nil {
			b.mats[i] = m[at : at+b.rows*r.Cols]
		}
	}
	for i, v := range r.vals {
		if v != nil {
			b.vals[i] = v[group*r.Cols : (group+1)*r.Cols]
		}
	}
	for i, v := range r.perRow {
		if v != nil {
			at := group*r.Rows + first
			b.perRow[i] = v[at : at+b.rows]
		}
	}
	for i := range r.sums {
		b.sums[i] = r.partialSum(k, i)
	}
	return b
}

// partialSum is sum i of block k.
func (r *columnsRun) partialSum(k, i int) []float32 {
	at := (k*r.sums + i) * r.Cols
	return r.partial.buf[at : at+r.Cols]
}

// addBlocks adds up sum i of each group's blocks.
func (r *columnsRun) addBlocks(dst []float32, i int) {
	for group := range r.Groups {
		total := dst[group*r.Cols : (group+1)*r.Cols]
		clear(total)
		for k := range r.blocks {
			addTo(total, r.partialSum(group*r.blocks+k, i))
		}
	}
}

// moments brings the blocks' means and squared distances together, in float64: a block's n rows of mean m add to the squared distances from
// the mean of all their own and n·(m − mean)².
func (r *columnsRun) moments(mean, sqDev []float32) {
	for at := range r.Groups * r.Cols {
		first, c := at/r.Cols*r.blocks, at%r.Cols
		m, squares := 0.0, 0.0
		for k := range r.blocks {
			m += float64(float64(r.partialSum(first+k, 0)[c]) * r.blockRows(k))
		}
		m /= float64(r.Rows)
		for k := range r.blocks {
			d := float64(r.partialSum(first+k, 0)[c]) - m
			squares += float64(r.partialSum(first+k, 1)[c]) + float64(r.blockRows(k)*float64(d*d))
		}
		mean[at], sqDev[at] = float32(m), float32(squares)
	}
}

func (r *columnsRun) blockRows(k int) float64 { return float64(min(columnRun, r.Rows-k*columnRun)) }
