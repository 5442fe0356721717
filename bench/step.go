package main

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/optim"
	"github.com/sslctl/sslctl/pkg/simd"
	"gorgonia.org/tensor"
)

const runningMomentum = 0.1 // of batch norms' running statistics, as in PyTorch

// step is a training step of a model on 64 images of 32×32 in colour, cut in virtual ranks: forward, backward from a given gradient of the features, the
// running statistics, the sum over the virtual ranks where there are several, the update.
type step struct {
	ranks  []rank
	group  *allreduce.Group
	grads  []*tensor.Dense
	update optim.Optimizer
	lr     float64
	done   uint64
}

// rank is one virtual rank's part.
type rank struct {
	model      *nn.Model
	images, dz *tensor.Dense
	statistics []float32
}

func newStep(name string, ranks int, update optim.Config) (*step, error) {
	m, err := nn.New(name, nn.Options{InH: 32, InW: 32, InC: 3}, keyed.New(1))
	if err != nil {
		return nil, fmt.Errorf("build the model: %w", err)
	}
	s := &step{lr: update.LR}
	if s.update, err = optim.New(update, m.Params()); err != nil {
		return nil, fmt.Errorf("build the optimizer: %w", err)
	}
	if s.group, err = allreduce.NewGroup(allreduce.Config{World: 1, VirtualRanks: ranks, JobUID: "bench"}, nil); err != nil {
		return nil, fmt.Errorf("build the group: %w", err)
	}
	if err := s.group.Join(context.Background()); err != nil {
		return nil, fmt.Errorf("join the group: %w", err)
	}
	n := images / ranks
	for range ranks {
		dz := normal("dz", n*m.OutDim())
		simd.Scale(dz, 1./images)
		s.ranks = append(s.ranks, rank{
			model: m.Replica(), images: dense(normal("images", n*32*32*3), n, 32, 32, 3), dz: dense(dz, n, m.OutDim()),
			statistics: make([]float32, len(m.Running().Data)),
		})
		s.grads = append(s.grads, dense(make([]float32, len(m.Params().Data)), len(m.Params().Data)))
	}
	return s, nil
}

func (s *step) run() {
	simd.Parallel(len(s.ranks), func(i int) {
		r := s.ranks[i]
		r.model.Forward(r.images, true)
		r.model.Backward(r.dz, s.grads[i].Float32s())
		r.model.BatchStats(r.statistics)
	})
	running := s.ranks[0].model.Running().Data
	simd.Scale(running, 1-runningMomentum)
	for _, r := range s.ranks {
		simd.Axpy(running, runningMomentum/float32(len(s.ranks)), r.statistics)
	}
	grad := s.grads[0]
	if len(s.ranks) > 1 {
		sum, err := s.group.Sum(context.Background(), s.grads)
		if err != nil {
			panic(fmt.Sprintf("bench: sum the gradients: %v", err)) // no other process takes part: a programming error
		}
		grad = sum
	}
	s.update.Step(grad.Float32s(), s.lr, s.done)
	s.done++
}
