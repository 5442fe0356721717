package nn

import "github.com/sslctl/sslctl/pkg/keyed"

// pass is what the layers share during one forward and its backward pass.
type pass struct {
	params, running []float32 // data of the model's arenas
	grad            []float32 // laid out as params; backward overwrites it
	n               int       // samples
	groups          int       // batch-norm groups in training
	train           bool
	draws           keyed.Key // of dropout
	buffers

	// In backward: grad is finished from here on; the parameters before; who is told.
	unfinished int
	layout     []Param
	done       func(lo, hi int)
}

// layer is one step of a model, with its own activations. A layer may overwrite its input unless it is the first of a model or
// of a block, since the layers that come before another one (convolution, linear) don't need their output in backward.
type layer interface {
	// forward maps x to the layer's output, which stays valid until the next forward. x must stay as the layer leaves it until backward.
	forward(p *pass, x []float32) []float32
	// backward takes the gradient of the output, which it may overwrite, writes the gradients of its parameters to p.grad, and returns
	// the gradient of its input, at the same place or in a borrowed run: nil where input is false.
	backward(p *pass, dy []float32, input bool) []float32
}

// sequence runs layers one after the other. The empty sequence is the identity.
type sequence []layer

func (s sequence) forward(p *pass, x []float32) []float32 {
	for _, l := range s {
		x = l.forward(p, x)
	}
	return x
}

func (s sequence) backward(p *pass, dy []float32, input bool) []float32 {
	own := false // dy is borrowed by a layer of the sequence
	for i := len(s) - 1; i >= 0; i-- {
		dx := s[i].backward(p, dy, input || i > 0)
		if !alike(dx, dy) {
			if own {
				p.giveBack(dy)
			}
			own = true
		}
		dy = dx
	}
	return dy
}

// grow returns n elements of the buffer, which it replaces if it is too small. The contents are undefined.
func grow[T any](buffer *[]T, n int) []T {
	if cap(*buffer) < n {
		*buffer = make([]T, n)
	}
	*buffer = (*buffer)[:n]
	return *buffer
}

// builder collects what a model's layers need while it is built.
type builder struct {
	params, running layout
	norms           []*runningStats
	groupNorms      bool // of convolutions, instead of batch norms
}
