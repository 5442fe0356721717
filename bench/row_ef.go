package main

import (
	"context"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

const (
	dim     = 128
	queries = 256
	bank    = 65536
	samples = 4096
	tau     = 0.2
)

// infoNCE is row e: queries against a bank, by what PyTorch's users write and by what one may write by hand.
func (b *bench) infoNCE(ctx context.Context) (figures []figure, err error) {
	const work = "InfoNCE B=256, d=128, K=65,536, loss + ∂q"
	call := infoNCEStep(newInfoNCE())
	for _, against := range []struct {
		id, kind string
		bar      float64
	}{{"e", "cross_entropy", 0.25}, {"e.inplace", "in place", 0.55}} {
		p, err := b.compare(ctx, call, "infonce", map[string]any{"kind": against.kind, "queries": queries, "d": dim, "bank": bank, "tau": tau})
		if err != nil {
			return nil, err
		}
		figures = append(figures, compared(against.id, work, p, ratioBar(against.bar)))
	}
	bytes, err := b.inFreshProcess(ctx, "scratch-infonce")
	if err != nil {
		return nil, err
	}
	return append(figures, figure{ID: "e.scratch", Work: work + ", scratch", Ours: bytes / 1e6, Unit: "MB", bar: absoluteBar(2)}), nil
}

// infoNCEOperands are the arguments and results of row e.
type infoNCEOperands struct {
	q, k, bank, cosines, dq []float32
	part                    *objective.BankPart
}

func newInfoNCE() infoNCEOperands {
	return infoNCEOperands{
		q: unit("q", queries, dim), k: unit("k", queries, dim), bank: unit("bank", bank, dim),
		cosines: make([]float32, queries), dq: make([]float32, queries*dim), part: objective.NewBankPart(queries, dim),
	}
}

// infoNCEStep is the loss and the gradient as a MoCo step has them, the bank being one shard.
func infoNCEStep(o infoNCEOperands) func() {
	merged, maxima, sums := new(objective.BankMerge), [][]float32{o.part.M}, [][]float32{o.part.L}
	return func() {
		for i := range o.cosines {
			o.cosines[i] = simd.Dot(o.q[i*dim:(i+1)*dim], o.k[i*dim:(i+1)*dim])
		}
		o.part.Compute(o.q, o.bank, dim, tau)
		if !merged.Merge(o.cosines, maxima, sums, tau) {
			panic("bench: InfoNCE is not finite")
		}
		merged.Weigh(o.part, dim)
		objective.QueryGradient(o.dq, o.part.O, o.k, merged.PPlus, dim, tau, 1./queries)
	}
}

// ntXent is row f: a batch of two views against itself.
func (b *bench) ntXent(ctx context.Context) ([]figure, error) {
	const work = "NT-Xent B=4096, d=128, loss + gradients"
	p, err := b.compare(ctx, ntXentStep(), "ntxent", map[string]any{"samples": samples, "d": dim, "tau": tau})
	if err != nil {
		return nil, err
	}
	bytes, err := b.inFreshProcess(ctx, "scratch-ntxent")
	if err != nil {
		return nil, err
	}
	return []figure{
		compared("f", work, p, ratioBar(0.5)),
		{ID: "f.scratch", Work: work + ", scratch", Ours: bytes / 1e6, Unit: "MB", bar: absoluteBar(8)},
	}, nil
}

func ntXentStep() func() {
	x := objective.NTXent{Z: unit("z", 2*samples, dim), D: dim, Tau: tau}
	lse, dz := make([]float32, 2*samples), make([]float32, len(x.Z))
	return func() {
		x.LogSumExp(lse, 0)
		if _, _, finite := x.Loss(lse); !finite {
			panic("bench: NT-Xent is not finite")
		}
		x.Gradient(dz, lse, 0)
	}
}
