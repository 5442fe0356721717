package main

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/simd"
)

// conv is row b: 3×3 convolutions, forward and both backwards.
func (b *bench) conv(ctx context.Context) (figures []figure, err error) {
	const batch = 64
	for _, layer := range []struct{ channels, side int }{{64, 32}, {128, 16}, {256, 8}, {512, 4}} {
		c := simd.Conv{N: batch, H: layer.side, W: layer.side, Cin: layer.channels, Cout: layer.channels, K: 3, Stride: 1, Pad: 1}
		maps := batch * layer.side * layer.side * layer.channels
		x, w, dy := normal("x", maps), normal("w", 9*layer.channels*layer.channels), normal("dy", maps)
		y, dx, dw := make([]float32, maps), make([]float32, maps), make([]float32, len(w))
		call := func() {
			c.Forward(y, x, w)
			c.BackwardData(dx, dy, w)
			c.BackwardWeights(dw, dy, x)
		}
		p, err := b.compare(ctx, call, "conv", map[string]any{"channels": layer.channels, "side": layer.side, "batch": batch})
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%d@%d", layer.channels, layer.side)
		figures = append(figures, compared("b."+name, "conv 3×3 "+name+"², B=64, forward + both backwards", p, ratioBar(1)))
	}
	return figures, nil
}
