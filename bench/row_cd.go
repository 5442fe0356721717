package main

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/optim"
)

const images = 64 // of a step

// resnet is row c: the time of a step of ResNet-18, as one virtual rank and as two, and its memory.
func (b *bench) resnet(ctx context.Context) ([]figure, error) {
	sgd := optim.Config{Name: "sgd", LR: 1e-4, Momentum: 0.9, WeightDecay: 1e-4}
	figures, err := b.steps(ctx, "c", "ResNet-18 step", "resnet18", sgd)
	if err != nil {
		return nil, err
	}
	memory, err := b.memory(ctx, figures[0])
	if err != nil {
		return nil, err
	}
	return append(figures, memory), nil
}

// vit is row d: the time of a step of ViT-tiny.
func (b *bench) vit(ctx context.Context) ([]figure, error) {
	return b.steps(ctx, "d", "ViT-tiny step, patch 4", "vit-tiny", optim.Config{Name: "adamw", LR: 1e-4, WeightDecay: 0.05})
}

func (b *bench) steps(ctx context.Context, id, work, model string, update optim.Config) (figures []figure, err error) {
	for _, ranks := range []int{1, 2} {
		s, err := newStep(model, ranks, update)
		if err != nil {
			return nil, err
		}
		p, err := b.compare(ctx, s.run, "model", map[string]any{"name": model, "optimizer": update.Name, "batch": images})
		if err != nil {
			return nil, err
		}
		if ranks == 1 {
			figures = append(figures, compared(id, work+", B=64", p, ratioBar(0.95)))
		} else {
			figures = append(figures, compared(id+".2x32", work+" as two virtual ranks of 32", p, bar{}))
		}
	}
	return figures, nil
}

// memory is row c's second figure: what the process holds at its peak above what it held before the model. timed is the first.
func (b *bench) memory(ctx context.Context, timed figure) (figure, error) {
	f := figure{ID: "c.memory", Work: "ResNet-18 step, B=64, peak memory above idle", PeerName: timed.PeerName, Unit: "MB", bar: ratioBar(0.7)}
	ours, err := b.inFreshProcess(ctx, "memory-resnet18")
	if err != nil {
		return f, err
	}
	f.Ours = ours / 1e6
	if timed.Peer == nil {
		return f, nil
	}
	first, err := b.peerInFreshProcess(ctx, "memory.py", "channels first")
	if err != nil {
		return f, err
	}
	last, err := b.peerInFreshProcess(ctx, "memory.py", "channels last")
	if err != nil {
		return f, err
	}
	peer := min(first, last)
	f.against(peer/1e6, ours/peer)
	return f, nil
}

// memoryOfSteps is the peak of some steps above what this process held before the model, in bytes.
func memoryOfSteps(model string) (float64, error) {
	idle, err := resident("VmRSS")
	if err != nil {
		return 0, err
	}
	s, err := newStep(model, 1, optim.Config{Name: "sgd", LR: 1e-4, Momentum: 0.9, WeightDecay: 1e-4})
	if err != nil {
		return 0, err
	}
	for range 5 {
		s.run()
	}
	peak, err := resident("VmHWM")
	if err != nil {
		return 0, err
	}
	if peak <= idle {
		return 0, fmt.Errorf("the peak, %.0f bytes, is not above the %.0f before", peak, idle)
	}
	return peak - idle, nil
}
