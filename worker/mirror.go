package worker

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"gorgonia.org/tensor"
)

// mirror is a task.Group of one worker that stands for all: what the other virtual ranks would say is what its own say, again and again.
// Shapes, sizes and the order of the calls are those of a real ring of any size, and the values are of the same kind.
type mirror struct {
	virtualRanks, lo, hi int
	calls                []counted // since the last take
}

// counted counts one collective.
type counted func(*allreduce.Traffic)

func (m *mirror) note(c counted) { m.calls = append(m.calls, c) }

// take returns the calls since the last one.
func (m *mirror) take() []counted {
	calls := m.calls
	m.calls = nil
	return calls
}

// Size is part of task.Group.
func (m *mirror) Size() int { return m.virtualRanks }

// Owned is part of task.Group.
func (m *mirror) Owned() (lo, hi int) { return m.lo, m.hi }

// AllGather is part of task.Group.
func (m *mirror) AllGather(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	n := own[0].DataSize()
	m.note(func(t *allreduce.Traffic) { t.AllGather(n * int(own[0].Dtype().Size())) })
	shape := own[0].Shape().Clone()
	shape[0] *= m.virtualRanks
	var data any
	switch own[0].Dtype() {
	case tensor.Float32:
		data = repeated(own, m.virtualRanks, (*tensor.Dense).Float32s)
	case tensor.Float64:
		data = repeated(own, m.virtualRanks, (*tensor.Dense).Float64s)
	case tensor.Int32:
		data = repeated(own, m.virtualRanks, (*tensor.Dense).Int32s)
	case tensor.Int64:
		data = repeated(own, m.virtualRanks, (*tensor.Dense).Int64s)
	case tensor.Uint64:
		data = repeated(own, m.virtualRanks, (*tensor.Dense).Uint64s)
	default:
		return nil, fmt.Errorf("gather tensors of %v; expected numbers of 4 or 8 bytes", own[0].Dtype())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data)), nil
}

func repeated[T any](own []*tensor.Dense, times int, values func(*tensor.Dense) []T) []T {
	var out []T
	for i := range times {
		out = append(out, values(own[i%len(own)])...)
	}
	return out
}

// Sum is part of task.Group.
func (m *mirror) Sum(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	n := own[0].DataSize()
	m.note(func(t *allreduce.Traffic) { t.Sum(n) })
	return m.sum(own)
}

// SumGradients is Sum in the format that the job chose for gradients.
func (m *mirror) SumGradients(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	n := own[0].DataSize()
	m.note(func(t *allreduce.Traffic) { t.SumGradients(n) })
	return m.sum(own)
}

func (m *mirror) sum(own []*tensor.Dense) (*tensor.Dense, error) {
	n := own[0].DataSize()
	sum := make([]float32, n)
	for v := range m.virtualRanks {
		for j, x := range own[v%len(own)].Float32s() {
			sum[j] += x
		}
	}
	return tensor.New(tensor.WithShape(own[0].Shape().Clone()...), tensor.WithBacking(sum)), nil
}

// SumScatter is part of task.Group.
func (m *mirror) SumScatter(_ context.Context, own []*tensor.Dense, _ float32) ([]*tensor.Dense, error) {
	n := own[0].DataSize()
	m.note(func(t *allreduce.Traffic) { t.SumScatter(n) })
	shape := own[0].Shape().Clone()
	shape[0] /= m.virtualRanks
	part := n / m.virtualRanks
	var out []*tensor.Dense
	for v := m.lo; v < m.hi; v++ {
		sum := make([]float32, part)
		for u := range m.virtualRanks {
			for j, x := range own[u%len(own)].Float32s()[v*part : (v+1)*part] {
				sum[j] += x
			}
		}
		out = append(out, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(sum)))
	}
	return out, nil
}

// Max is part of task.Group.
func (m *mirror) Max(_ context.Context, own []*tensor.Dense) (*tensor.Dense, error) {
	n := own[0].DataSize()
	m.note(func(t *allreduce.Traffic) { t.Max(n) })
	top := append([]float32(nil), own[0].Float32s()...)
	for _, o := range own[1:] {
		for j, x := range o.Float32s() {
			top[j] = max(top[j], x)
		}
	}
	return tensor.New(tensor.WithShape(own[0].Shape().Clone()...), tensor.WithBacking(top)), nil
}
