package transform

import (
	"fmt"
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

// batchTile is how many images a goroutine transforms before it asks for more.
const batchTile = 8

// Batcher fills batches with transformed images, on all cores that simd.Parallel grants. It may be used from many goroutines.
type Batcher struct {
	pipeline *Pipeline
	mu       sync.Mutex
	free     []*Pipeline
}

// NewBatcher makes a Batcher that applies clones of p.
func NewBatcher(p *Pipeline) *Batcher { return &Batcher{pipeline: p} }

// New allocates a batch of n images: (n, H, W, C).
func (b *Batcher) New(n int) *tensor.Dense {
	h, w, c := b.pipeline.Shape()
	return tensor.New(tensor.WithShape(n, h, w, c), tensor.WithBacking(make([]float32, n*h*w*c)))
}

// View fills dst, (n, H, W, C), with one view of each image. The draws for image i are keyed by key.At(positions[i], view). The same
// arguments give the same bits, whatever the number of goroutines.
func (b *Batcher) View(dst *tensor.Dense, images []Image, positions []uint64, view uint64, key keyed.Key) error {
	h, w, c := b.pipeline.Shape()
	n, size := len(images), h*w*c
	out := dst.Float32s()
	if len(positions) != n || len(out) != n*size {
		return fmt.Errorf("make a batch of %d images with %d positions in a tensor of shape %v: expected as many positions and shape (%d, %d, %d, %d)", n, len(positions), dst.Shape(), n, h, w, c)
	}
	var mu sync.Mutex
	failed, failure := n, error(nil) // the first image in order, so that the error is always the same
	simd.Parallel((n+batchTile-1)/batchTile, func(tile int) {
		p := b.take()
		defer b.give(p)
		for i := tile * batchTile; i < min(n, (tile+1)*batchTile); i++ {
			if err := p.Apply(out[i*size:(i+1)*size], images[i], key.At(positions[i], view)); err != nil {
				mu.Lock()
				if i < failed {
					failed, failure = i, fmt.Errorf("image %d of the batch, position %d: %w", i, positions[i], err)
				}
				mu.Unlock()
			}
		}
	})
	return failure
}

func (b *Batcher) take() *Pipeline {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p
	}
	return b.pipeline.Clone()
}

func (b *Batcher) give(p *Pipeline) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, p)
}
