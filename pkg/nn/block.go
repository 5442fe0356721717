package nn

import "github.com/sslctl/sslctl/pkg/simd"

// block is a residual block: max(norm(main(x)) + shortcut(x), 0) (He, Zhang, Ren and Sun, "Deep residual learning for image recognition",
// CVPR 2016). Without a convolution in the shortcut it is the identity.
type block struct {
	main     sequence
	shortcut *conv
	join     join
}

// bottleneckWidening is the width of a bottleneck block's output over that of its inner convolutions.
const bottleneckWidening = 4

// block adds the basic block: conv-norm-ReLU-conv-norm beside the shortcut. It takes maps of h×w and returns the size of its own.
func (b *builder) block(name string, h, w, in, out, stride int) (l *block, outH, outW int) {
	first := b.conv(name+".conv1", h, w, in, out, 3, stride)
	outH, outW = first.geometry.OutH(), first.geometry.OutW()
	l = &block{main: sequence{
		first,
		&normConv{b.norm(name+".bn1", outH*outW, out).rectified(), b.conv(name+".conv2", outH, outW, out, out, 3, 1)},
	}}
	l.join.main = b.norm(name+".bn2", outH*outW, out)
	b.shortcut(l, name, h, w, in, out, stride)
	return l, outH, outW
}

// bottleneck adds the block of three convolutions: 1×1 to width channels, 3×3 with the stride, 1×1 to four times the width. The stride
// lies where torchvision has it, not on the first convolution as in the paper.
func (b *builder) bottleneck(name string, h, w, in, width, stride int) (l *block, outH, outW int) {
	out := bottleneckWidening * width
	first := b.conv(name+".conv1", h, w, in, width, 1, 1)
	norm1 := b.norm(name+".bn1", h*w, width).rectified()
	second := b.conv(name+".conv2", h, w, width, width, 3, stride)
	outH, outW = second.geometry.OutH(), second.geometry.OutW()
	norm2 := b.norm(name+".bn2", outH*outW, width).rectified()
	l = &block{main: sequence{
		first,
		&normConv{norm1, second},
		&normConv{norm2, b.conv(name+".conv3", outH, outW, width, out, 1, 1)},
	}}
	l.join.main = b.norm(name+".bn3", outH*outW, out)
	b.shortcut(l, name, h, w, in, out, stride)
	return l, outH, outW
}

// shortcut adds a 1×1 convolution and norm where stride or width change.
func (b *builder) shortcut(l *block, name string, h, w, in, out, stride int) {
	if stride == 1 && in == out {
		return
	}
	l.shortcut = b.conv(name+".downsample.0", h, w, in, out, 1, stride)
	l.join.short = b.norm(name+".downsample.1", l.shortcut.geometry.OutH()*l.shortcut.geometry.OutW(), out)
}

func (l *block) forward(p *pass, x []float32) []float32 {
	y := l.main.forward(p, x)
	if l.shortcut != nil {
		x = l.shortcut.forward(p, x)
	}
	return l.join.forward(p, y, x)
}

func (l *block) backward(p *pass, dy []float32, input bool) []float32 {
	dMain, dShort := l.join.backward(p, dy)
	dx := l.main.backward(p, dMain, input)
	if l.shortcut != nil {
		dShort = l.shortcut.backward(p, dShort, input)
	}
	if input {
		simd.Add(dx, dShort)
	}
	if l.shortcut != nil && input {
		p.giveBack(dShort)
	}
	return dx
}
