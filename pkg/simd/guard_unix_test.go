//go:build unix

package simd

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A guard hands out slices that lie against a page which may not be touched: behind them or before them.
type guard struct {
	t      *testing.T
	before bool
}

func (g guard) floats(n int, seed uint64) []float32 {
	g.t.Helper()
	page := unix.Getpagesize()
	size := (4*n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		g.t.Fatalf("mapping %d bytes: %v", size+2*page, err)
	}
	g.t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			g.t.Errorf("unmapping: %v", err)
		}
	})
	for _, edge := range [][]byte{mem[:page], mem[page+size:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			g.t.Fatalf("protecting a page: %v", err)
		}
	}
	body := mem[page : page+size]
	offset := size - 4*n
	if g.before {
		offset = 0
	}
	if n == 0 {
		return nil
	}
	s := unsafe.Slice((*float32)(unsafe.Pointer(&body[offset])), n)
	copy(s, random(n, seed))
	return s
}

func (g guard) integers(n int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(g.floats(n, 9)))), n)
}

// eachGuard runs f with slices that end, then with slices that start, at a forbidden page. A touch of it fails the test.
func eachGuard(t *testing.T, f func(g guard)) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	SetThreads(1) // the setting above holds for this goroutine only
	defer SetThreads(0)
	eachPath(t, func(t *testing.T) {
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("memory outside the slices was touched: %v\n%s", r, debug.Stack())
			}
		}()
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		f(guard{t, false})
		f(guard{t, true})
	})
}

func TestGuardVectorKernels(t *testing.T) {
	eachGuard(t, func(g guard) {
		for n := range 70 {
			x, y, z := g.floats(n, 1), g.floats(n, 2), g.floats(n, 3)
			Add(z, x)
			Mul(z, x)
			Axpy(z, 2, x)
			Scale(z, 0.5)
			Dot(x, y)
			Sum(x)
			Max(x)
			ReLU(z, x)
			ReLUBackward(z, x, y)
			Exp(z, x)
			ExpSum(z, x, 1)
			Blend(z, x, y, 1, 2, 3)
			GELU(z, y, x)
			GELUTanh(z, y, x)
		}
	})
}

func TestGuardUpdates(t *testing.T) {
	eachGuard(t, func(g guard) {
		for n := range 20 {
			for _, u := range updates {
				u.run([3][]float32{g.floats(n, 1), g.floats(n, 2), g.floats(n, 3)}, g.floats(n, 4))
			}
			Squares(g.floats(n, 1))
			SquaresDecayed(g.floats(n, 1), g.floats(n, 2), 0.5)
		}
	})
}

func TestGuardFixedPoint(t *testing.T) {
	eachGuard(t, func(g guard) {
		for n := range 70 {
			x, q := g.floats(n, 1), g.integers(n)
			MaxMagnitude(x)
			EncodeFixed(q, x, 4)
			AddFixed(q, x, 4)
			DecodeFixed(x, q, 0.25)
			if half := g.integers((n + 1) / 2); n%2 == 0 {
				q16 := unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(half))), n)
				EncodeFixed16(q16, x, 1<<16, Draws{A: 1, B: 2})
				AddFixed16(q16, x, 1<<16, Draws{A: 1, B: 2})
				DecodeFixed16(x, q16, 0.25)
			}
		}
	})
}

func TestGuardImageKernels(t *testing.T) {
	eachGuard(t, func(g guard) {
		for n := range 60 {
			x, y := g.floats(n, 1), g.floats(n, 2)
			mean, std := (*[StandardRun]float32)(g.floats(StandardRun, 3)), (*[StandardRun]float32)(g.floats(StandardRun, 4))
			Mix(y, x, y, 0.3, 0.7)
			Adjust(y, x, 0.5, 1.2, 0.8)
			Standardize(y, x, mean, std)
			testPowers().Power(y, x, 1.5)
		}
	})
}

func TestGuardColumnKernels(t *testing.T) {
	eachGuard(t, func(g guard) {
		for _, rows := range []int{1, 2, 5} {
			for cols := 1; cols < 44; cols++ {
				x, y, z := g.floats(rows*cols, 1), g.floats(rows*cols, 2), g.floats(rows*cols, 3)
				a, b, c, sum := g.floats(cols, 4), g.floats(cols, 5), g.floats(cols, 6), g.floats(cols, 7)
				ColumnSum(sum, x, rows, cols)
				ColumnSqDev(sum, x, a, rows, cols)
				ColumnDot(sum, x, y, rows, cols)
				ColumnDotDev(sum, x, y, a, rows, cols)
				ScaleShift(z, x, a, b, rows, cols)
				AddRow(z, a, rows, cols)
				Affine2(z, x, y, a, b, c, rows, cols)
				one, dot := Columns{1, rows, cols}, g.floats(cols, 9)
				one.Moments(sum, dot, x)
				one.ScaleShiftReLU(z, x, a, b)
				one.ScaleShiftAddReLU(z, x, y, a, b)
				one.Affine2ReLU(z, x, y, a, b, c)
				one.Affine2Masked(z, x, y, a, b, c, sum)
				one.SumDotDev(sum, dot, x, y, a)
				one.SumDotDevReLU(sum, dot, x, y, a, b, c)
				one.SumDotDevMasked(sum, dot, z, x, y, a)
				inv := g.floats(rows, 8)
				mean := g.floats(rows, 10)
				LayerNorm(z, mean, inv, x, a, b, rows, cols, 1)
				LayerNormBackward(z, sum, dot, y, nil, x, mean, inv, a, rows, cols)
				LayerNormBackward(z, sum, dot, z, y, x, mean, inv, a, rows, cols)
				AddRowGELU(z, y, a, rows, cols)
				AddRowAndMatrix(z, a, y, rows, cols)
				MulColumnSum(sum, z, y, rows, cols)
				Softmax(z, rows, cols)
				SoftmaxBackward(y, z, rows, cols)
			}
		}
	})
}

func TestGuardGemm(t *testing.T) {
	eachGuard(t, func(g guard) {
		for _, m := range []int{1, 5, 6, 7, 16, 33} {
			for _, n := range []int{1, 8, 15, 16, 17, 33} {
				for _, k := range []int{1, 3, 8, 17} {
					a, b, c := g.floats(m*k, 1), g.floats(n*k, 2), g.floats(m*n, 3)
					for flags := range 4 {
						tA, tB := flags&1 != 0, flags&2 != 0
						Gemm(tA, tB, m, n, k, 1.5, a, pick(tA, m, k), b, pick(tB, k, n), 0.5, c, n)
					}
				}
			}
		}
		Gemm(false, false, 8, 16, 512, 1, g.floats(8*512, 1), 512, g.floats(512*16, 2), 16, 0, g.floats(8*16, 3), 16) // rows brought together
	})
}

func TestGuardGemmBatch(t *testing.T) {
	eachGuard(t, func(g guard) {
		const heads, gap = 2, 3
		for _, m := range []int{1, 7} {
			for _, n := range []int{5, 17} {
				for _, k := range []int{3, 8} {
					for flags := range 4 {
						tA, tB := flags&1 != 0, flags&2 != 0
						lda, ldb, ldc := pick(tA, m, k)+gap, pick(tB, k, n)+gap, n+gap
						// The last matrix ends with its last row, without the gap.
						sa, sb, sc := pick(tA, k, m)*lda, pick(tB, n, k)*ldb, m*ldc
						GemmBatch(1, heads, tA, tB, m, n, k, 1, Matrices{g.floats(heads*sa-gap, 1), lda, 0, sa},
							Matrices{g.floats(heads*sb-gap, 2), ldb, 0, sb}, 1, Matrices{g.floats(heads*sc-gap, 3), ldc, 0, sc})
					}
				}
			}
		}
	})
}

func TestGuardConv(t *testing.T) {
	eachGuard(t, func(g guard) {
		for _, c := range []Conv{
			{N: 7, H: 4, W: 5, Cin: 1, Cout: 16, K: 3, Stride: 2, Pad: 1},
			{N: 1, H: 5, W: 14, Cin: 3, Cout: 17, K: 3, Stride: 1, Pad: 1},
			{N: 5, H: 4, W: 4, Cin: 6, Cout: 32, K: 1, Stride: 2, Pad: 0},
			{N: 6, H: 7, W: 7, Cin: 5, Cout: 7, K: 3, Stride: 2, Pad: 1},
			{N: 13, H: 6, W: 3, Cin: 8, Cout: 3, K: 2, Stride: 1, Pad: 0},
			{N: 2, H: 17, W: 18, Cin: 13, Cout: 5, K: 5, Stride: 1, Pad: 2},
			{N: 2, H: 20, W: 21, Cin: 3, Cout: 18, K: 7, Stride: 2, Pad: 3},
			{N: 3, H: 3, W: 2, Cin: 9, Cout: 33, K: 7, Stride: 1, Pad: 3},    // the kernel is larger than the image
			{N: 2, H: 4, W: 15, Cin: 2, Cout: 17, K: 2, Stride: 3, Pad: 7},   // windows that lie on the padding alone
			{N: 2, H: 15, W: 26, Cin: 12, Cout: 20, K: 1, Stride: 2, Pad: 0}, // runs of pixels that no output reads
		} {
			x, w, y := g.floats(c.N*c.H*c.W*c.Cin, 1), g.floats(c.K*c.K*c.Cin*c.Cout, 2), g.floats(c.N*c.OutH()*c.OutW()*c.Cout, 3)
			c.Forward(y, x, w)
			c.BackwardWeights(w, y, x)
			c.BackwardData(x, y, w)
		}
	})
}

func TestGuardPool(t *testing.T) {
	eachGuard(t, func(g guard) {
		for _, p := range []Pool{{N: 2, H: 5, W: 7, C: 9, K: 3, Stride: 2, Pad: 1}, {N: 1, H: 4, W: 4, C: 3, K: 2, Stride: 2}, {N: 2, H: 3, W: 3, C: 16, K: 3, Stride: 1, Pad: 1}} {
			x, y := g.floats(p.N*p.H*p.W*p.C, 1), g.floats(p.N*p.OutH()*p.OutW()*p.C, 2)
			p.Average(y, x)
			p.AverageBackward(x, y)
			which := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(g.floats(len(y), 3)))), 4*len(y))
			if g.before {
				which = which[:len(y)]
			}
			which = which[len(which)-len(y):]
			p.Max(y, which, x)
			p.MaxBackward(x, y, which)
		}
	})
}

// The packed operands live in buffers larger than they need: their bounds are tested on the kernels themselves.
func TestGuardInnerKernels(t *testing.T) {
	eachGuard(t, func(g guard) {
		for rows := 1; rows <= max(rowTileHeight(1), pairTileHeight()); rows++ {
			for _, depth := range []int{1, 4, 7} {
				for width := 1; width <= rowTileWidth(); width++ {
					panels := (width + tileCols - 1) / tileCols
					c, a, b := g.floats((rows-1)*40+width, 1), g.floats(rows*depth, 2), g.floats(panels*depth*tileCols, 3)
					for _, add := range []bool{false, true} {
						if rows <= rowTileHeight(1) {
							rowTile(rows, width, c, 40, a, depth, b, depth*tileCols, []tap{{}}, depth, add, nil)
							rowTile(rows, width, c, 40, a, depth, b, depth*tileCols, nil, depth, add, nil)
						}
						if rows > pairTileHeight() || width > tileCols {
							continue
						}
						taps := make([]tap, depth)
						for p := range taps {
							taps[p] = tap{p * rows, p * tileCols}
						}
						pairTile(rows, width, c, 40, a, b, taps, 1, 0, 0, add, nil)
					}
				}
			}
		}
		for _, k := range []int{1, 2, 9} {
			packRows(g.floats(k*tileCols, 1), g.floats((k-1)*20+tileCols, 2), 20, k)
			for width := 1; width <= tileRows; width++ {
				packColumns(g.floats(k*tileRows, 1), g.floats((k-1)*9+width, 2), 9, k, width)
			}
		}
		for _, rows := range []int{1, 8, 11, 16} {
			for _, cols := range []int{1, 8, 13, 24} {
				transpose(g.floats((cols-1)*19+rows, 1), 19, g.floats((rows-1)*26+cols, 2), 26, rows, cols)
			}
		}
	})
}

// The guard would be worthless if a touch of the page went unseen.
func TestGuardFails(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s := guard{t: t}.floats(8, 1)
	defer func() {
		if recover() == nil {
			t.Fatal("a read behind the slice went unnoticed")
		}
	}()
	Sum(unsafe.Slice(&s[0], 9))
}

func TestGuardPanels(t *testing.T) {
	eachGuard(t, func(g guard) {
		for _, size := range [][3]int{{1, 1, 1}, {3, 9, 7}, {8, 8, 32}, {13, 5, 45}, {32, 17, 64}} {
			n, rows, d := size[0], size[1], size[2]
			q, keys, panel, scores, sums := g.floats(n*d, 1), g.floats(rows*d, 2), g.floats(Panel*d, 3), g.floats(rows*Panel, 4), g.floats(n*d, 5)
			PackPanel(panel, q, n, d, 2)
			PanelScores(scores, g.floats(Panel, 9), keys, panel, rows, d, g.floats(rows*d, 10))
			PanelSum(sums, scores, keys, n, rows, d)
			top := g.floats(Panel, 6)
			PanelMax(top, scores, rows)
			PanelPull(scores, top, g.floats(rows, 7), rows)
			PanelExp(scores, top, g.floats(Panel, 8), rows)
		}
	})
}
