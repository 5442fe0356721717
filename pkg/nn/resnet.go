package nn

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/simd"
)

// The stems of the residual networks.
const (
	// StemCIFAR is a 3×3 convolution that keeps the map's size, for small images (Chen et al., "A simple framework for contrastive
	// learning of visual representations", ICML 2020, appendix B.9).
	StemCIFAR = "cifar"
	// StemImageNet is a 7×7 convolution of stride 2 and a 3×3 maximum of stride 2 (He et al., CVPR 2016).
	StemImageNet = "imagenet"
)

// resNet is a residual network of four stages, each after the first halving the map and doubling the width, under torchvision's names:
// features are the mean over the last map (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1).
type resNet struct {
	blocks     [4]int // of each stage
	width      int    // of the first stage
	bottleneck bool
}

var (
	resNet18 = resNet{blocks: [4]int{2, 2, 2, 2}, width: 64}
	resNet50 = resNet{blocks: [4]int{3, 4, 6, 3}, width: 64, bottleneck: true}
)

func (r resNet) build(b *builder, o Options) (sequence, int) {
	s, h, w := b.stem(o, r.width)
	in := r.width
	for stage, count := range r.blocks {
		width, stride := r.width<<stage, min(stage+1, 2)
		for i := range count {
			name := fmt.Sprintf("layer%d.%d", stage+1, i)
			s = append(s, b.boundary())
			var l *block
			if r.bottleneck {
				l, h, w = b.bottleneck(name, h, w, in, width, stride)
				in = bottleneckWidening * width
			} else {
				l, h, w = b.block(name, h, w, in, width, stride)
				in = width
			}
			s = append(s, l)
			stride = 1
		}
	}
	return append(s, newPool(h, w, in, 1)), in
}

// stem adds what comes before the first stage and returns its map's size.
func (b *builder) stem(o Options, width int) (s sequence, h, w int) {
	k, stride := 3, 1
	if o.Stem == StemImageNet {
		k, stride = 7, 2
	}
	first := b.conv("conv1", o.InH, o.InW, o.InC, width, k, stride)
	h, w = first.geometry.OutH(), first.geometry.OutW()
	norm := b.norm("bn1", h*w, width).rectified()
	if o.Stem == StemImageNet {
		pool := simd.Pool{H: h, W: w, C: width, K: 3, Stride: 2, Pad: 1}
		return sequence{first, &normMaxPool{norm: norm, geometry: pool}}, pool.OutH(), pool.OutW()
	}
	return sequence{first, norm}, h, w
}
