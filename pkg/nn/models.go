package nn

import (
	"fmt"
	"strings"
)

// architecture is one encoder that New knows.
type architecture struct {
	name  string
	build func(b *builder, o Options) (encoder sequence, features int)
	fits  func(o Options) error // nil: takes all options that are valid by themselves
	drops bool                  // takes Options.Dropout
}

// architectures lists the encoders in order of name.
var architectures = []architecture{
	{name: "mlp", build: buildMLP},
	{name: "resnet-tiny", build: buildResNetTiny},
	{name: "resnet18", build: resNet18.build},
	{name: "resnet50", build: resNet50.build},
	{name: "vit-tiny", build: viTTiny.build, fits: viTTiny.fits, drops: true},
}

// Names lists the models that New knows.
func Names() []string {
	names := make([]string, len(architectures))
	for i, a := range architectures {
		names[i] = a.name
	}
	return names
}

// HasBatchNorm tells whether the encoder of that name has batch norm, whatever its heads have: training then needs two samples a batch-norm
// group. It returns ErrModel for a name that New does not know.
func HasBatchNorm(name string) (bool, error) {
	arch, err := find(name)
	if err != nil {
		return false, err
	}
	m, _ := assemble(arch, Options{InH: minSide, InW: minSide, InC: 1})
	return len(m.norms) > 0, nil
}

func find(name string) (architecture, error) {
	for _, a := range architectures {
		if a.name == name {
			return a, nil
		}
	}
	return architecture{}, fmt.Errorf("%w %q: expected one of %s", ErrModel, name, strings.Join(Names(), ", "))
}

// buildResNetTiny is a residual network for small images, 288 k parameters (1 channel): a strided 3×3 stem of 32 channels, two basic blocks of 64 and 128
// channels, each halving the map, and an average over 2×2 cells: 512 features, flattened channel by channel.
func buildResNetTiny(b *builder, o Options) (sequence, int) {
	const stem, cells = 32, 2
	first := b.conv("conv1", o.InH, o.InW, o.InC, stem, 3, 2)
	h, w := first.geometry.OutH(), first.geometry.OutW()
	s := sequence{first, b.norm("bn1", h*w, stem).rectified()}
	in := stem
	for i, out := range []int{64, 128} {
		s = append(s, b.boundary())
		var l *block
		l, h, w = b.block(fmt.Sprintf("layer%d.0", i+1), h, w, in, out, 2)
		s = append(s, l)
		in = out
	}
	return append(s, newPool(h, w, in, cells)), in * cells * cells
}

// buildMLP flattens the image as it lies in memory (row, column, channel) and runs it through two hidden layers of 512 and 256 units, each with
// batch norm and ReLU: 256 features.
func buildMLP(b *builder, o Options) (sequence, int) {
	var s sequence
	in := o.InH * o.InW * o.InC
	for i, out := range []int{512, 256} {
		if i > 0 {
			s = append(s, b.boundary())
		}
		s = append(s,
			b.linear(fmt.Sprintf("hidden.%d", 3*i), in, out, false),
			b.batchNorm(fmt.Sprintf("hidden.%d", 3*i+1), 1, out).rectified())
		in = out
	}
	return s, in
}

// head adds a projector or predictor under the names of a torch.nn.Sequential that prefix calls.
func (b *builder) head(prefix string, p *Projector, in int) (s sequence, out int) {
	start := b.boundary()
	at := 0 // in the torch.nn.Sequential
	name := func() string {
		at++
		return fmt.Sprintf("%s%d", prefix, at-1)
	}
	for range p.layers() - 1 {
		s = append(s, b.linear(name(), in, p.Hidden, !p.BatchNorm))
		if p.BatchNorm {
			s = append(s, b.batchNorm(name(), 1, p.Hidden).rectified())
		} else {
			s = append(s, &relu{})
		}
		at++ // the ReLU's place
		in = p.Hidden
	}
	s = append(s, b.linear(name(), in, p.Out, true))
	return append(sequence{start}, s...), p.Out
}
