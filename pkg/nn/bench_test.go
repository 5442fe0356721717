package nn

import (
	"sync"
	"testing"

	"gorgonia.org/tensor"
)

// reference is the model and batch of the reference figures: 28×28 grey images, micro-batches of 32.
func reference(b *testing.B) (m *Model, x, dz *tensor.Dense, grad []float32) {
	m = build(b, "resnet-tiny", Options{InH: 28, InW: 28, InC: 1, Projector: &Projector{Hidden: 128, Out: 64, BatchNorm: true}})
	return m, drawn("images", 32, 28, 28, 1), drawn("upstream", 32, 64), make([]float32, len(m.Params().Data))
}

func BenchmarkForward32(b *testing.B) {
	m, x, _, _ := reference(b)
	for b.Loop() {
		m.Forward(x, true)
	}
}

func BenchmarkForwardBackward32(b *testing.B) {
	m, x, dz, grad := reference(b)
	for b.Loop() {
		m.Forward(x, true)
		m.Backward(dz, grad)
	}
}

// BenchmarkStep256 is a step's passes over the trained encoder: eight micro-batches of 32, two at a time.
func BenchmarkStep256(b *testing.B) {
	m, x, dz, grad := reference(b)
	models := [2]*Model{m, m.Replica()}
	grads := [2][]float32{grad, make([]float32, len(grad))}
	for b.Loop() {
		var all sync.WaitGroup
		for i, r := range models {
			all.Go(func() {
				for range 4 {
					r.Forward(x, true)
					r.Backward(dz, grads[i])
				}
			})
		}
		all.Wait()
	}
}

// BenchmarkLarge64 is a step's passes of the large models over 64 images of 32×32 in colour: two micro-batches of 32 at a time.
func BenchmarkLarge64(b *testing.B) {
	for _, name := range []string{"resnet18", "vit-tiny"} {
		b.Run(name, func(b *testing.B) {
			m := build(b, name, Options{InH: 32, InW: 32, InC: 3})
			x, dz := drawn("images", 32, 32, 32, 3), drawn("upstream", 32, m.OutDim())
			models := [2]*Model{m, m.Replica()}
			grads := [2][]float32{make([]float32, len(m.Params().Data)), make([]float32, len(m.Params().Data))}
			for b.Loop() {
				var all sync.WaitGroup
				for i, r := range models {
					all.Go(func() {
						r.Forward(x, true)
						r.Backward(dz, grads[i])
					})
				}
				all.Wait()
			}
		})
	}
}
