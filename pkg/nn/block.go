package nn

import "github.com/sslctl/sslctl/pkg/simd"

// block is the basic residual block: max(main(x) + shortcut(x), 0) (He, Zhang, Ren and Sun, "Deep residual learning for image
// recognition", CVPR 2016). An empty shortcut is the identity.
type block struct {
	main, shortcut sequence
	join           relu
	branch         []float32 // gradient that enters main
}

// block adds conv-norm-ReLU-conv-norm beside a 1×1 convolution and norm, the latter only where stride or width change. It takes maps of
// h×w and returns the size of its own.
func (b *builder) block(name string, h, w, in, out, stride int) (l *block, outH, outW int) {
	first := b.conv(name+".conv1", h, w, in, out, 3, stride)
	outH, outW = first.geometry.OutH(), first.geometry.OutW()
	l = &block{main: sequence{
		first, b.batchNorm(name+".bn1", outH*outW, out), &relu{},
		b.conv(name+".conv2", outH, outW, out, out, 3, 1), b.batchNorm(name+".bn2", outH*outW, out),
	}}
	if stride != 1 || in != out {
		l.shortcut = sequence{b.conv(name+".downsample.0", h, w, in, out, 1, stride), b.batchNorm(name+".downsample.1", outH*outW, out)}
	}
	return l, outH, outW
}

func (l *block) forward(p *pass, x []float32) []float32 {
	y := l.main.forward(p, x)
	simd.Add(y, l.shortcut.forward(p, x))
	return l.join.forward(p, y)
}

func (l *block) backward(p *pass, dy []float32, input bool) []float32 {
	dy = l.join.backward(p, dy, true)
	branch := grow(&l.branch, len(dy))
	copy(branch, dy)
	dx := l.main.backward(p, branch, input)
	short := l.shortcut.backward(p, dy, input)
	if input {
		simd.Add(dx, short)
	}
	return dx
}
