package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/optim"
	"github.com/sslctl/sslctl/pkg/simd"
)

// allocations is row l: what a step allocates in each package once it has run a few times. The packages' own tests have every kernel, layer, loss and optimizer.
func (b *bench) allocations(context.Context) (figures []figure, err error) {
	encoder, err := encoderStep()
	if err != nil {
		return nil, err
	}
	optimizers, err := optimizerSteps()
	if err != nil {
		return nil, err
	}
	for _, p := range []struct {
		name, work string
		step       func()
	}{
		{"simd", "products, a convolution, pooling, vectors", kernels()},
		{"nn", "resnet-tiny with projector, forward and backward", encoder},
		{"objective", "InfoNCE against a bank, NT-Xent", losses()},
		{"optim", "AdamW, SGD, LARS, moving average", optimizers},
	} {
		figures = append(figures, figure{
			ID: "l." + p.name, Work: "allocations in pkg/" + p.name + ": " + p.work, Ours: allocationsOf(p.step), Unit: "allocations a step", bar: absoluteBar(0),
		})
	}
	return figures, nil
}

// allocationsOf counts as testing.AllocsPerRun does, whole allocations a call on average, but with all threads at work. The calls before let the runtime make the
// goroutines that it keeps for helpers.
func allocationsOf(step func()) float64 {
	const warm, measured = 50, 50
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties pools that a step would find full
	for range warm {
		step()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range measured {
		step()
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / measured)
}

func kernels() func() {
	const n = 128
	a, out, x := normal("a", n*n), make([]float32, n*n), make([]float32, n*n)
	c := simd.Conv{N: 4, H: 16, W: 16, Cin: 16, Cout: 32, K: 3, Stride: 1, Pad: 1}
	images, weights, maps := normal("x", 4*16*16*16), normal("w", 9*16*32), make([]float32, 4*16*16*32)
	dx, dw := make([]float32, len(images)), make([]float32, len(weights))
	pool := simd.Pool{N: 4, H: 16, W: 16, C: 16, K: 2, Stride: 2}
	pooled, taps := make([]float32, 4*8*8*16), make([]uint8, 4*8*8*16)
	return func() {
		simd.Gemm(false, true, n, n, n, 1, a, n, a, n, 0, out, n)
		simd.Softmax(out, n, n)
		simd.GELU(x, out, a)
		simd.Add(x, out)
		c.Forward(maps, images, weights)
		c.BackwardData(dx, maps, weights)
		c.BackwardWeights(dw, maps, images)
		pool.Max(pooled, taps, images)
		pool.MaxBackward(dx, pooled, taps)
	}
}

func encoderStep() (func(), error) {
	m, err := nn.New("resnet-tiny", nn.Options{InH: 28, InW: 28, InC: 1, Projector: &nn.Projector{Hidden: 128, Out: 64, BatchNorm: true}}, keyed.New(1))
	if err != nil {
		return nil, fmt.Errorf("build the model: %w", err)
	}
	const n = 32
	images, dz := dense(normal("images", n*28*28), n, 28, 28, 1), dense(normal("dz", n*m.OutDim()), n, m.OutDim())
	grad, statistics := make([]float32, len(m.Params().Data)), make([]float32, len(m.Running().Data))
	return func() {
		m.Forward(images, true)
		m.Backward(dz, grad)
		m.BatchStats(statistics)
	}, nil
}

func losses() func() {
	const n, d, size = 64, 32, 4096
	q, keys := unit("q", n, d), unit("keys", size, d)
	part, cosines, dq := objective.NewBankPart(n, d), make([]float32, n), make([]float32, n*d)
	merged, maxima, sums := new(objective.BankMerge), [][]float32{part.M}, [][]float32{part.L}
	x := objective.NTXent{Z: unit("z", 2*n, d), D: d, Tau: tau}
	lse, dz := make([]float32, 2*n), make([]float32, 2*n*d)
	return func() {
		part.Compute(q, keys, d, tau)
		merged.Merge(cosines, maxima, sums, tau)
		merged.Weigh(part, d)
		objective.QueryGradient(dq, part.O, q, merged.PPlus, d, tau, 1./n)
		x.LogSumExp(lse, 0)
		x.Loss(lse)
		x.Gradient(dz, lse, 0)
	}
}

func optimizerSteps() (func(), error) {
	const n = 1 << 16
	params := &nn.Arena{Data: normal("parameters", n)}
	params.Params = []nn.Param{{Name: "p.weight", Shape: []int{n}, Len: n, Decay: true, Value: dense(params.Data, n)}}
	grad := normal("gradient", n)
	var optimizers []optim.Optimizer
	for _, name := range optim.Names() {
		o, err := optim.New(optim.Config{Name: name, Momentum: 0.9, WeightDecay: 1e-4, ClipNorm: 1}, params)
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
		optimizers = append(optimizers, o)
	}
	average, steps := optim.NewAverage(make([]float32, n), params.Data), uint64(0)
	return func() {
		for _, o := range optimizers {
			o.Step(grad, 1e-3, steps)
		}
		average.Follow(0.99)
		steps++
	}, nil
}
