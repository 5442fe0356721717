package simd

import (
	"fmt"
	"testing"
)

// convReference computes y, dx and dw from the definition, in float64.
func convReference(c Conv, x, w, dy []float32) (y, dx, dw []float64) {
	y, dx, dw = make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w))
	for out := range dy {
		co, ow, oh, n := out%c.Cout, out/c.Cout%c.OutW(), out/c.Cout/c.OutW()%c.OutH(), out/c.Cout/c.OutW()/c.OutH()
		for tap := range c.K * c.K * c.Cin {
			ci, ih, iw := tap%c.Cin, oh*c.Stride+tap/c.Cin/c.K-c.Pad, ow*c.Stride+tap/c.Cin%c.K-c.Pad
			if ih < 0 || ih >= c.H || iw < 0 || iw >= c.W {
				continue
			}
			in, weight := ((n*c.H+ih)*c.W+iw)*c.Cin+ci, tap*c.Cout+co
			y[out] += float64(x[in]) * float64(w[weight])
			dx[in] += float64(dy[out]) * float64(w[weight])
			dw[weight] += float64(dy[out]) * float64(x[in])
		}
	}
	return y, dx, dw
}

func convOperands(c Conv) (x, w, dy []float32) {
	return random(c.N*c.H*c.W*c.Cin, 1), random(c.K*c.K*c.Cin*c.Cout, 2), random(c.N*c.OutH()*c.OutW()*c.Cout, 3)
}

func checkConv(t *testing.T, c Conv) {
	t.Helper()
	x, w, dy := convOperands(c)
	wantY, wantDx, wantDw := convReference(c, x, w, dy)
	y, dx, dw := random(len(dy), 4), random(len(x), 5), random(len(w), 6) // overwritten, not added to
	c.Forward(y, x, w)
	c.BackwardData(dx, dy, w)
	c.BackwardWeights(dw, dy, x)
	wantClose(t, fmt.Sprintf("%+v forward", c), y, wantY, 2e-6)
	wantClose(t, fmt.Sprintf("%+v backward data", c), dx, wantDx, 2e-6)
	wantClose(t, fmt.Sprintf("%+v backward weights", c), dw, wantDw, 2e-6)
}

func TestConvAwkwardShapes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, k := range []int{1, 2, 3, 5} {
			for _, stride := range []int{1, 2, 3} {
				for _, pad := range []int{0, 1, 2} {
					for _, hw := range [][2]int{{5, 4}, {1, 9}, {6, 15}} {
						for _, ch := range [][2]int{{1, 3}, {3, 17}, {7, 1}} {
							c := Conv{N: 2, H: hw[0], W: hw[1], Cin: ch[0], Cout: ch[1], K: k, Stride: stride, Pad: pad}
							if c.H+2*pad >= k && c.W+2*pad >= k {
								checkConv(t, c)
							}
						}
					}
				}
			}
		}
	})
}

func TestConvBatchSizes(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, n := range awkward {
			checkConv(t, Conv{N: n, H: 4, W: 5, Cin: 5, Cout: 18, K: 3, Stride: 2, Pad: 1})
			checkConv(t, Conv{N: n, H: 9, W: 8, Cin: 1, Cout: 7, K: 3, Stride: 2, Pad: 1})
		}
		checkConv(t, Conv{N: 2, H: 40, W: 33, Cin: 6, Cout: 20, K: 3, Stride: 1, Pad: 1})
		checkConv(t, Conv{N: 3, H: 17, W: 20, Cin: 3, Cout: 18, K: 7, Stride: 2, Pad: 3})
		checkConv(t, Conv{N: 2, H: 9, W: 8, Cin: 7, Cout: 5, K: 7, Stride: 1, Pad: 3})
	})
}

func TestConvEmptyBatch(t *testing.T) {
	c := Conv{N: 0, H: 4, W: 4, Cin: 2, Cout: 3, K: 3, Stride: 1, Pad: 1}
	dw := random(9*2*3, 1)
	c.Forward(nil, nil, dw)
	c.BackwardData(nil, nil, dw)
	c.BackwardWeights(dw, nil, nil)
	wantSame(t, dw, make([]float32, len(dw)))
}

// tinyLayers are the convolutions of resnet-tiny at a micro-batch of 32.
var tinyLayers = []struct {
	name string
	conv Conv
}{
	{"stem", Conv{N: 32, H: 28, W: 28, Cin: 1, Cout: 32, K: 3, Stride: 2, Pad: 1}},
	{"layer1.conv1", Conv{N: 32, H: 14, W: 14, Cin: 32, Cout: 64, K: 3, Stride: 2, Pad: 1}},
	{"layer1.conv2", Conv{N: 32, H: 7, W: 7, Cin: 64, Cout: 64, K: 3, Stride: 1, Pad: 1}},
	{"layer1.shortcut", Conv{N: 32, H: 14, W: 14, Cin: 32, Cout: 64, K: 1, Stride: 2, Pad: 0}},
	{"layer2.conv1", Conv{N: 32, H: 7, W: 7, Cin: 64, Cout: 128, K: 3, Stride: 2, Pad: 1}},
	{"layer2.conv2", Conv{N: 32, H: 4, W: 4, Cin: 128, Cout: 128, K: 3, Stride: 1, Pad: 1}},
	{"layer2.shortcut", Conv{N: 32, H: 7, W: 7, Cin: 64, Cout: 128, K: 1, Stride: 2, Pad: 0}},
}

func TestConvSameBitsForAnyThreadsAndAlignment(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		defer SetThreads(0)
		for _, layer := range tinyLayers {
			c := layer.conv
			c.N = 3
			var first []float32
			for _, threads := range []int{1, 2, 3} {
				SetThreads(threads)
				x, w, dy := convOperands(c)
				for offset := range 2 {
					all := make([]float32, len(dy)+len(x)+len(w)+offset)
					y, dx, dw := all[offset:len(dy)+offset], all[len(dy)+offset:len(dy)+len(x)+offset], all[len(dy)+len(x)+offset:]
					c.Forward(y, append(make([]float32, offset), x...)[offset:], w)
					c.BackwardData(dx, dy, append(make([]float32, offset), w...)[offset:])
					c.BackwardWeights(dw, append(make([]float32, offset), dy...)[offset:], x)
					if first == nil {
						first = all
					}
					wantSame(t, all[offset:], first)
				}
			}
		}
	})
}

// macs is the number of multiply-adds that the padding leaves.
func macs(c Conv) float64 {
	taps := 0
	for o := range c.OutH() * c.OutW() {
		for t := range c.K * c.K {
			ih, iw := o/c.OutW()*c.Stride+t/c.K-c.Pad, o%c.OutW()*c.Stride+t%c.K-c.Pad
			if ih >= 0 && ih < c.H && iw >= 0 && iw < c.W {
				taps++
			}
		}
	}
	return float64(taps) * float64(c.N) * float64(c.Cin) * float64(c.Cout)
}

func BenchmarkConv(b *testing.B) {
	SetThreads(1)
	defer SetThreads(0)
	for _, layer := range tinyLayers {
		c := layer.conv
		x, w, dy := convOperands(c)
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		for _, pass := range []struct {
			name string
			run  func()
		}{
			{"forward", func() { c.Forward(y, x, w) }},
			{"data", func() { c.BackwardData(dx, dy, w) }},
			{"weights", func() { c.BackwardWeights(dw, dy, x) }},
		} {
			b.Run(layer.name+"/"+pass.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					pass.run()
				}
				reportRate(b, 2*macs(c))
			})
		}
	}
}

// BenchmarkConvStep is what one training step asks of the convolutions of resnet-tiny at batch 256: eight micro-batches, one a thread,
// forward, gradient of the data (but for the stem's input) and of the weights.
func BenchmarkConvStep(b *testing.B) {
	type buffers struct{ x, w, dy, y, dx, dw []float32 }
	var all [8][]buffers
	for i := range all {
		for _, layer := range tinyLayers {
			x, w, dy := convOperands(layer.conv)
			all[i] = append(all[i], buffers{x, w, dy, make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		Parallel(len(all), func(i int) {
			for l, layer := range tinyLayers {
				s := all[i][l]
				layer.conv.Forward(s.y, s.x, s.w)
				if l > 0 {
					layer.conv.BackwardData(s.dx, s.dy, s.w)
				}
				layer.conv.BackwardWeights(s.dw, s.dy, s.x)
			}
		})
	}
}
