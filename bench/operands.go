package main

import (
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// normal draws n standard normal values; purposes keep operands apart.
func normal(purpose string, n int) []float32 {
	key := keyed.New(1).For(purpose)
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(key.Normal(uint64(i)))
	}
	return x
}

// unit draws n vectors of length 1 and width d.
func unit(purpose string, n, d int) []float32 {
	x := normal(purpose, n*d)
	objective.Normalize(x, x, make([]float32, n), n, d)
	return x
}

func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}
