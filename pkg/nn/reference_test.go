package nn

import (
	"fmt"
	"math"
	"strings"

	"gorgonia.org/tensor"
)

// plain is the same models in float64, written as the formulas read: what the fast ones are compared with.
type plain struct {
	value      map[string][]float64
	shape      map[string][]int
	groups     int
	groupNorms bool
}

// maps is n feature maps of h×w with c channels, NHWC; after flattening h = w = 1.
type maps struct {
	n, h, w, c int
	v          []float64
}

func newPlain(m *Model) *plain {
	r := &plain{map[string][]float64{}, map[string][]int{}, m.options.BatchNormGroups, m.options.Norm == NormGroup}
	for _, p := range m.Params().Params {
		r.value[p.Name], r.shape[p.Name] = widen(p.Value.Float32s()), p.Shape
	}
	return r
}

func (r *plain) conv(name string, x maps, stride int) maps {
	w, s := r.value[name+".weight"], r.shape[name+".weight"]
	k, pad := s[0], s[0]/2
	y := maps{x.n, (x.h+2*pad-k)/stride + 1, (x.w+2*pad-k)/stride + 1, s[3], nil}
	y.v = make([]float64, y.n*y.h*y.w*y.c)
	for p := range y.n * y.h * y.w {
		n, i, j := p/(y.h*y.w), p/y.w%y.h*stride-pad, p%y.w*stride-pad
		for t := range k * k {
			if a, b := i+t/k, j+t%k; a >= 0 && a < x.h && b >= 0 && b < x.w {
				for c := range x.c {
					v := x.v[((n*x.h+a)*x.w+b)*x.c+c]
					for o := range y.c {
						y.v[p*y.c+o] += v * w[(t*x.c+c)*y.c+o]
					}
				}
			}
		}
	}
	return y
}

func (r *plain) norm(name string, x maps) maps {
	if r.groupNorms && !strings.HasPrefix(name, ProjectorPrefix) {
		return r.groupNorm(name, x)
	}
	y := x
	y.v = make([]float64, len(x.v))
	size := len(x.v) / r.groups
	rows := float64(size / x.c)
	for g := range r.groups {
		for c := range x.c {
			var mean, variance float64
			for i := g*size + c; i < (g+1)*size; i += x.c {
				mean += x.v[i] / rows
			}
			for i := g*size + c; i < (g+1)*size; i += x.c {
				variance += (x.v[i] - mean) * (x.v[i] - mean) / rows
			}
			for i := g*size + c; i < (g+1)*size; i += x.c {
				y.v[i] = (x.v[i]-mean)/math.Sqrt(variance+1e-5)*r.value[name+".weight"][c] + r.value[name+".bias"][c]
			}
		}
	}
	return y
}

func (r *plain) groupNorm(name string, x maps) maps {
	y := x
	y.v = make([]float64, len(x.v))
	width := max(1, x.c/32)
	each := func(s, g int, f func(i, c int)) {
		for p := range x.h * x.w {
			for c := g; c < g+width; c++ {
				f((s*x.h*x.w+p)*x.c+c, c)
			}
		}
	}
	for s := range x.n {
		for g := 0; g < x.c; g += width {
			var mean, variance float64
			size := float64(x.h * x.w * width)
			each(s, g, func(i, _ int) { mean += x.v[i] / size })
			each(s, g, func(i, _ int) { variance += (x.v[i] - mean) * (x.v[i] - mean) / size })
			each(s, g, func(i, c int) {
				y.v[i] = (x.v[i]-mean)/math.Sqrt(variance+1e-5)*r.value[name+".weight"][c] + r.value[name+".bias"][c]
			})
		}
	}
	return y
}

func (r *plain) linear(name string, x maps) maps {
	w, b := r.value[name+".weight"], r.value[name+".bias"]
	in, out := x.h*x.w*x.c, r.shape[name+".weight"][0]
	y := maps{x.n, 1, 1, out, make([]float64, x.n*out)}
	for n := range x.n {
		for o := range out {
			if b != nil {
				y.v[n*out+o] = b[o]
			}
			for i := range in {
				y.v[n*out+o] += x.v[n*in+i] * w[o*in+i]
			}
		}
	}
	return y
}

func (maps) join(a, b maps) maps {
	for i := range a.v {
		a.v[i] += b.v[i]
	}
	return a
}

func (x maps) relu() maps {
	for i, v := range x.v {
		x.v[i] = max(v, 0)
	}
	return x
}

// pooled averages over 2×2 cells and flattens channel by channel.
func (x maps) pooled() maps {
	y := maps{x.n, 1, 1, 4 * x.c, make([]float64, 4*x.n*x.c)}
	for n := range x.n {
		for k := range 4 * x.c {
			c, i, j := k/4, k/2%2, k%2
			i0, i1, j0, j1 := i*x.h/2, (i*x.h+x.h+1)/2, j*x.w/2, (j*x.w+x.w+1)/2
			for a := i0; a < i1; a++ {
				for b := j0; b < j1; b++ {
					y.v[n*y.c+k] += x.v[((n*x.h+a)*x.w+b)*x.c+c] / float64((i1-i0)*(j1-j0))
				}
			}
		}
	}
	return y
}

// pooledMax is the maximum over 3×3 windows, two apart.
func (x maps) pooledMax() maps {
	y := maps{x.n, (x.h + 1) / 2, (x.w + 1) / 2, x.c, nil}
	for i := range x.n * y.h * y.w * x.c {
		n, a, b, c := i/(y.h*y.w*x.c), i/(y.w*x.c)%y.h*2, i/x.c%y.w*2, i%x.c
		best := math.Inf(-1)
		for p := max(0, a-1); p < min(x.h, a+2); p++ {
			for q := max(0, b-1); q < min(x.w, b+2); q++ {
				best = max(best, x.v[((n*x.h+p)*x.w+q)*x.c+c])
			}
		}
		y.v = append(y.v, best)
	}
	return y
}

// averaged is the mean of each channel.
func (x maps) averaged() maps {
	y := maps{x.n, 1, 1, x.c, make([]float64, x.n*x.c)}
	for i, v := range x.v {
		y.v[i/(x.h*x.w*x.c)*x.c+i%x.c] += v / float64(x.h*x.w)
	}
	return y
}

func (r *plain) block(name string, x maps, stride int) maps {
	y, last := x, "2"
	if r.value[name+".conv3.weight"] != nil {
		y, last = r.norm(name+".bn1", r.conv(name+".conv1", y, 1)).relu(), "3"
		y = r.norm(name+".bn2", r.conv(name+".conv2", y, stride)).relu()
	} else {
		y = r.norm(name+".bn1", r.conv(name+".conv1", y, stride)).relu()
	}
	y = r.norm(name+".bn"+last, r.conv(name+".conv"+last, y, 1))
	if r.value[name+".downsample.0.weight"] != nil {
		x = r.norm(name+".downsample.1", r.conv(name+".downsample.0", x, stride))
	}
	return y.join(y, x).relu()
}

// resNet is a residual network of torchvision's form; its stem is known by the size of its kernel.
func (r *plain) resNet(x maps) maps {
	if r.shape["conv1.weight"][0] == 7 {
		x = r.norm("bn1", r.conv("conv1", x, 2)).relu().pooledMax()
	} else {
		x = r.norm("bn1", r.conv("conv1", x, 1)).relu()
	}
	for stage := 1; stage <= 4; stage++ {
		for i := 0; ; i++ {
			name := fmt.Sprintf("layer%d.%d", stage, i)
			if r.value[name+".conv1.weight"] == nil {
				break
			}
			stride := 1
			if i == 0 {
				stride = min(stage, 2)
			}
			x = r.block(name, x, stride)
		}
	}
	return x.averaged()
}

// forward is features and embeddings of a training pass.
func (r *plain) forward(name string, images *tensor.Dense) (features, z maps) {
	s := images.Shape()
	x := maps{s[0], s[1], s[2], s[3], widen(images.Float32s())}
	switch name {
	case "mlp":
		for _, i := range []int{0, 3} {
			x = r.norm(fmt.Sprint("hidden.", i+1), r.linear(fmt.Sprint("hidden.", i), x)).relu()
		}
	case "resnet-tiny":
		x = r.norm("bn1", r.conv("conv1", x, 2)).relu()
		x = r.block("layer2.0", r.block("layer1.0", x, 2), 2).pooled()
	case "thin transformer":
		x = r.transformer(x, 3)
	default:
		x = r.resNet(x)
	}
	features = x
	for i := 0; ; {
		layer := fmt.Sprint("projector.", i)
		if r.value[layer+".weight"] == nil {
			return features, x
		}
		x = r.linear(layer, x)
		i++
		if norm := fmt.Sprint("projector.", i); len(r.shape[norm+".weight"]) == 1 {
			x = r.norm(norm, x)
			i++
		}
		if r.hasLayerFrom(i) {
			x = x.relu()
			i++
		}
	}
}

func (r *plain) hasLayerFrom(i int) bool {
	for name := range r.value {
		var k int
		if strings.HasPrefix(name, ProjectorPrefix) {
			if fmt.Sscanf(name, ProjectorPrefix+"%d", &k); k >= i {
				return true
			}
		}
	}
	return false
}
