package main

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/optim"
)

// updates is row g: an update of 25 million parameters in ten tensors, by what PyTorch does unasked and by its fused kernels.
func (b *bench) updates(ctx context.Context) (figures []figure, err error) {
	const elements, tensors = 25_000_000, 10
	for _, c := range []optim.Config{
		{Name: "adamw", LR: 1e-3, WeightDecay: 1e-2},
		{Name: "sgd", LR: 1e-3, Momentum: 0.9, WeightDecay: 1e-4},
	} {
		params := &nn.Arena{Data: normal("parameters", elements)}
		for i := range tensors {
			const n = elements / tensors
			params.Params = append(params.Params, nn.Param{
				Name: fmt.Sprintf("p%d.weight", i), Shape: []int{n}, Offset: i * n, Len: n, Decay: true, Value: dense(params.Data[i*n:(i+1)*n], n),
			})
		}
		grad := normal("gradient", elements)
		for i := range grad {
			grad[i] *= 1e-2
		}
		o, err := optim.New(c, params)
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", c.Name, err)
		}
		steps := uint64(0)
		call := func() { o.Step(grad, c.LR, steps); steps++ }
		for _, fused := range []bool{false, true} {
			p, err := b.compare(ctx, call, "update", map[string]any{"optimizer": c.Name, "elements": elements, "fused": fused})
			if err != nil {
				return nil, err
			}
			id, work := "g."+c.Name, c.Name+" update of 25 M parameters"
			if fused {
				id, work = id+".fused", work+", beside one-pass kernels"
			}
			figures = append(figures, compared(id, work, p, ratioBar(0.8)))
		}
	}
	return figures, nil
}
