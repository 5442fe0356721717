package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Dropout is the probabilities of leaving things out in training, under the names of timm's vision transformers: each in [0, 1). What stays is
// scaled up, so that the expectation stays too (Srivastava et al., "Dropout", JMLR 2014).
type Dropout struct {
	Attention  float64 // of each share that a token gives to another
	Projection float64 // of each element behind the attention's projection and both layers of the MLP
	Position   float64 // of each element of the tokens with their positions
	Path       float64 // of the last half block, for each sample: it rises to that from 0 in the first block (Huang et al., "Deep networks with stochastic depth", ECCV 2016)
}

// drawScale is the number of values that a draw of dropout can have: a probability is rounded to a multiple of 1/drawScale.
const drawScale = 1 << 16

// dropRate is a probability in units of 1/drawScale, and what stays is multiplied by factor.
type dropRate struct {
	dropped uint64
	factor  float32
}

// kept has bit i set where number i of the four in v, 16 bits each, stands for staying: where it is not below dropped.
func (r dropRate) kept(v uint64) uint64 {
	const even = 0x0000ffff0000ffff
	carry := (drawScale - r.dropped) * 0x0000000100000001 // a number that is not below dropped carries into its bit 16
	a, b := (v&even)+carry, (v>>16&even)+carry
	return a>>16&1 | b>>15&2 | a>>46&4 | b>>45&8
}

func newDropRate(rate float64) dropRate {
	dropped := min(math.Round(rate*drawScale), drawScale-1)
	return dropRate{dropped: uint64(dropped), factor: float32(drawScale / (drawScale - dropped))}
}

// dropout leaves out elements of the activations, in place. Whether element i of sample s stays depends on the pass's key, the layer's name, s and i.
type dropout struct {
	name string
	rate dropRate
	size int // elements of a sample

	key        keyed.Key
	data       []float32
	kept       []uint64 // a bit an element, each sample beginning with a word of its own
	draw, mask func(sample int)
}

// newDropout is nil where the rate is 0.
func newDropout(name string, rate float64, size int) *dropout {
	if rate == 0 {
		return nil
	}
	l := &dropout{name: name, rate: newDropRate(rate), size: size}
	l.draw, l.mask = l.drawSample, l.maskSample
	return l
}

// elementDrop is a dropout as layers: none where the rate is 0.
func elementDrop(name string, rate float64, size int) sequence {
	if l := newDropout(name, rate, size); l != nil {
		return sequence{l}
	}
	return nil
}

func (l *dropout) forward(p *pass, x []float32) []float32 {
	if !p.train {
		return x
	}
	l.begin(p, x)
	simd.Parallel(p.n, l.draw)
	return x
}

// begin prepares for drawSample of each sample of data.
func (l *dropout) begin(p *pass, data []float32) {
	l.data, l.key = data, p.draws.For(l.name)
	grow(&l.kept, p.n*l.words())
}

func (l *dropout) backward(p *pass, dy []float32, _ bool) []float32 {
	l.data = dy
	simd.Parallel(p.n, l.mask)
	return dy
}

func (l *dropout) words() int { return (l.size + 63) / 64 }

func (l *dropout) drawSample(s int) {
	key := l.key.At(uint64(s))
	for w := range l.words() {
		var bits uint64
		for d := range 8 { // eight elements a draw
			hi, lo := key.Uint128(uint64(8*w + d))
			bits |= (l.rate.kept(lo) | l.rate.kept(hi)<<4) << (8 * d)
		}
		l.kept[s*l.words()+w] = bits
	}
	l.maskSample(s)
}

func (l *dropout) maskSample(s int) {
	sample := l.data[s*l.size : (s+1)*l.size]
	factors := [2]float32{0, l.rate.factor}
	for w, bits := range l.kept[s*l.words() : (s+1)*l.words()] {
		part := sample[64*w : min(64*(w+1), l.size)]
		for i, v := range part {
			part[i] = v * factors[bits>>i&1]
		}
	}
}

// dropPath leaves out whole samples of a residual's branch, in place.
type dropPath struct {
	name string
	rate dropRate
	size int
	key  keyed.Key
}

// pathDrop is a dropPath as layers: none where the rate is 0.
func pathDrop(name string, rate float64, size int) sequence {
	if rate == 0 {
		return nil
	}
	return sequence{&dropPath{name: name, rate: newDropRate(rate), size: size}}
}

func (l *dropPath) forward(p *pass, x []float32) []float32 {
	if p.train {
		l.key = p.draws.For(l.name)
		l.mask(p, x)
	}
	return x
}

func (l *dropPath) backward(p *pass, dy []float32, _ bool) []float32 {
	l.mask(p, dy)
	return dy
}

func (l *dropPath) mask(p *pass, data []float32) {
	for s := range p.n {
		sample := data[s*l.size : (s+1)*l.size]
		if l.key.At(uint64(s)).Uint64(0)%drawScale < l.rate.dropped {
			clear(sample)
			continue
		}
		simd.Scale(sample, l.rate.factor)
	}
}
