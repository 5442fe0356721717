package nn

import "testing"

const tolerance = 1e-5

func TestBatchNormAgainstPyTorch(t *testing.T) {
	for _, name := range []string{"batchnorm1d_train", "batchnorm2d_train", "batchnorm2d_eval"} {
		f := load(t, name)
		shape := f.Inputs["x"].Shape
		rows := 1
		if len(shape) == 4 {
			rows = shape[2] * shape[3]
		}
		train := name != "batchnorm2d_eval"
		b := &builder{}
		l := b.batchNorm("bn", rows, shape[1])
		r := b.bench(shape[0], 1, train)
		copy(l.gamma.of(r.pass.params), f.Inputs["gamma"].float32s())
		copy(l.beta.of(r.pass.params), f.Inputs["beta"].float32s())
		copy(l.batch.mean.of(r.pass.running), f.Inputs["running_mean"].float32s())
		copy(l.batch.variance.of(r.pass.running), f.Inputs["running_var"].float32s())

		within(t, name+" y", l.forward(&r.pass, f.Inputs["x"].float32s()), f.Outputs["y"].nhwc(), tolerance)
		if !train {
			continue
		}
		const momentum = 0.1
		mean, variance := make([]float32, shape[1]), make([]float32, shape[1])
		for c := range mean {
			mean[c] = (1-momentum)*l.batch.mean.of(r.pass.running)[c] + momentum*l.batch.batchMean[c]
			variance[c] = (1-momentum)*l.batch.variance.of(r.pass.running)[c] + momentum*l.batch.batchVar[c]
		}
		within(t, name+" running mean", mean, f.Outputs["new_running_mean"].Data, tolerance)
		within(t, name+" running variance", variance, f.Outputs["new_running_var"].Data, tolerance)
		within(t, name+" dx", l.backward(&r.pass, f.Inputs["upstream"].float32s(), true), f.Grads["x"].nhwc(), tolerance)
		within(t, name+" dgamma", l.gamma.of(r.pass.grad), f.Grads["gamma"].Data, tolerance)
		within(t, name+" dbeta", l.beta.of(r.pass.grad), f.Grads["beta"].Data, tolerance)
	}
}

// Three groups in one pass must equal three passes of one group each: outputs and input gradients to the bit, statistics as means, parameter
// gradients as sums.
func TestBatchNormGroupsAreBatchesOfTheirOwn(t *testing.T) {
	const n, groups, rows, channels = 12, 3, 6, 5
	const size = n / groups * rows * channels
	b := &builder{}
	l := b.batchNorm("bn", rows, channels)
	r := b.bench(n, groups, true)
	copy(r.pass.params, drawn("parameters", len(r.pass.params)).Float32s())
	x, dy := drawn("x", n*rows*channels).Float32s(), drawn("dy", n*rows*channels).Float32s()
	y := append([]float32(nil), l.forward(&r.pass, append([]float32(nil), x...))...)
	mean, variance := append([]float32(nil), l.batch.batchMean...), append([]float32(nil), l.batch.batchVar...)
	dx := append([]float32(nil), l.backward(&r.pass, append([]float32(nil), dy...), true)...)
	dGamma := append([]float32(nil), l.gamma.of(r.pass.grad)...)

	one := r.pass
	one.n, one.groups = n/groups, 1
	wantMean, wantVar, wantGamma := make([]float64, channels), make([]float64, channels), make([]float64, channels)
	for g := range groups {
		part := func(s []float32) []float32 { return append([]float32(nil), s[g*size:(g+1)*size]...) }
		same(t, "y of a group", y[g*size:(g+1)*size], l.forward(&one, part(x)))
		same(t, "dx of a group", dx[g*size:(g+1)*size], l.backward(&one, part(dy), true))
		for c := range channels {
			wantMean[c] += float64(l.batch.batchMean[c]) / groups
			wantVar[c] += float64(l.batch.batchVar[c]) / groups
			wantGamma[c] += float64(l.gamma.of(one.grad)[c])
		}
	}
	within(t, "mean of means", mean, wantMean, 1e-6)
	within(t, "mean of variances", variance, wantVar, 1e-6)
	within(t, "dgamma", dGamma, wantGamma, 1e-6)
}

func TestLinearAgainstPyTorch(t *testing.T) {
	f := load(t, "linear")
	b := &builder{}
	l := b.linear("fc", 6, 3, true)
	r := b.bench(4, 1, true)
	copy(l.weight.of(r.pass.params), f.Inputs["w"].float32s())
	copy(l.bias.of(r.pass.params), f.Inputs["b"].float32s())
	within(t, "y", l.forward(&r.pass, f.Inputs["x"].float32s()), f.Outputs["y"].Data, tolerance)
	within(t, "dx", l.backward(&r.pass, f.Inputs["upstream"].float32s(), true), f.Grads["x"].Data, tolerance)
	within(t, "dw", l.weight.of(r.pass.grad), f.Grads["w"].Data, tolerance)
	within(t, "db", l.bias.of(r.pass.grad), f.Grads["b"].Data, tolerance)
}

func TestPoolAgainstPyTorch(t *testing.T) {
	f := load(t, "global_avgpool")
	l := newPool(6, 6, 2, 1)
	f.check(t, l, f.Inputs["upstream"].Data, f.Outputs["y"].Data)
	l = newPool(6, 6, 2, 3) // adaptive to 3×3 of 6×6 is the same as 2×2 windows with stride 2
	f = load(t, "avgpool2x2_s2")
	f.check(t, l, f.Inputs["upstream"].Data, f.Outputs["y"].Data)
}
