package nn

// boundary stands between two parts of a model and changes nothing. When a backward pass comes by, the gradients of all parameters from
// start on are finished.
type boundary struct{ start int }

// boundary ends the part whose parameters have been added so far.
func (b *builder) boundary() boundary { return boundary{b.params.size} }

func (l boundary) forward(_ *pass, x []float32) []float32 { return x }

func (l boundary) backward(p *pass, dy []float32, _ bool) []float32 {
	p.finish(l.start)
	return dy
}

// finish zeroes the padding of the gradient from start on and hands out what is finished since the last call.
func (p *pass) finish(start int) {
	if start == p.unfinished {
		return
	}
	end := p.unfinished
	for i := len(p.layout); i > 0 && p.layout[i-1].Offset >= start; i-- {
		last := p.layout[i-1]
		clear(p.grad[last.Offset+last.Len : end])
		end = last.Offset
		p.layout = p.layout[:i-1]
	}
	if p.done != nil {
		p.done(start, p.unfinished)
	}
	p.unfinished = start
}
