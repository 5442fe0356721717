package transform

import (
	"errors"
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// Pipeline applies ops in order and writes an image of a fixed shape. It holds scratch memory, so each goroutine needs its own Clone.
type Pipeline struct {
	h, w, c int
	ops     []Op
	names   []string // purpose of each op's draws
	scratch [2][]float32
}

// New makes a pipeline whose results have shape (h, w, c). It fails with all that is wrong with the ops' parameters. The draws of an op are keyed by
// its name, those of a further op of one name by name#2, name#3 ….
func New(h, w, c int, ops ...Op) (*Pipeline, error) {
	var errs []error
	if h < 1 || w < 1 || c < 1 {
		errs = append(errs, fmt.Errorf("pipeline for images of shape (%d, %d, %d): expected positive sides and channels", h, w, c))
	}
	p := &Pipeline{h: h, w: w, c: c, ops: ops}
	count := map[string]int{}
	for _, op := range ops {
		errs = append(errs, op.Check())
		if n, ok := op.(Normalize); ok && len(n.Mean) != 1 && len(n.Mean) != c {
			errs = append(errs, fmt.Errorf("transform %s: %d means for images of %d channels: expected 1 or %d", n.Name(), len(n.Mean), c, c))
		}
		name := op.Name()
		if count[name]++; count[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, count[name])
		}
		p.names = append(p.names, name)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// Evaluation makes the pipeline of clean images: scaled to (h, w) where they have another size, and normalised.
func Evaluation(h, w, c int, n Normalize) (*Pipeline, error) {
	return New(h, w, c, Resize{h, w}, n)
}

// Clone makes a pipeline with the same ops for another goroutine.
func (p *Pipeline) Clone() *Pipeline {
	return &Pipeline{h: p.h, w: p.w, c: p.c, ops: p.ops, names: p.names}
}

// Shape is the shape of the results.
func (p *Pipeline) Shape() (h, w, c int) { return p.h, p.w, p.c }

// Apply writes the transformed image to dst, which holds h·w·c values, and leaves img as it is. key is the key of one view of one sample,
// for example key.At(position, view): the same key gives the same bits. It allocates nothing once it has seen an image of the size.
func (p *Pipeline) Apply(dst []float32, img Image, key keyed.Key) error {
	if img.C != p.c || img.H < 1 || img.W < 1 || len(img.Pix) != img.H*img.W*img.C {
		return fmt.Errorf("transform image of shape (%d, %d, %d) with %d values: expected %d channels and as many values as the shape says", img.H, img.W, img.C, len(img.Pix), p.c)
	}
	h, w := img.H, img.W
	for _, op := range p.ops {
		h, w = op.Size(h, w)
	}
	if h != p.h || w != p.w || len(dst) != h*w*p.c {
		return fmt.Errorf("transform image of shape (%d, %d, %d): the ops make it %d×%d, into %d values; expected %d×%d and %d: add a randomResizedCrop to that size",
			img.H, img.W, img.C, h, w, len(dst), p.h, p.w, p.h*p.w*p.c)
	}
	if len(p.ops) == 0 {
		copy(dst, img.Pix)
		return nil
	}
	src := img
	for i, op := range p.ops {
		out := Image{C: src.C}
		out.H, out.W = op.Size(src.H, src.W)
		out.Pix = dst
		if n := out.H * out.W * out.C; i < len(p.ops)-1 {
			out.Pix = p.buffer(i%2, n)
		}
		op.Apply(out, src, key.For(p.names[i]))
		src = out
	}
	return nil
}

func (p *Pipeline) buffer(i, n int) []float32 {
	if cap(p.scratch[i]) < n {
		p.scratch[i] = make([]float32, n)
	}
	return p.scratch[i][:n]
}
