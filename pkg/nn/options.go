package nn

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrModel is returned when no model has the name asked for.
	ErrModel = errors.New("unknown model")
	// ErrOptions is returned when a model cannot be built with the options given.
	ErrOptions = errors.New("impossible model options")
	// ErrBatch is returned when a batch does not fit the model.
	ErrBatch = errors.New("batch does not fit the model")
)

// minSide is the least image height and width: what the strided layers leave one pixel of.
const minSide = 8

// The norms of the residual networks' maps.
const (
	NormBatch = "batch" // over the batch, channel by channel
	NormGroup = "group" // over each sample by itself, in 32 groups of channels
)

// Options say what a model is built for.
type Options struct {
	InH, InW, InC int        // height, width (at least 8 each) and channels of the images
	Stem          string     // of resnet18 and resnet50: StemCIFAR, which "" stands for, or StemImageNet
	Norm          string     // of the residual networks' maps: NormBatch, which "" stands for, or NormGroup
	Patch         int        // of vit-tiny: side of the patches, which divides both sides of the images; 0 stands for DefaultPatch
	Dropout       Dropout    // of vit-tiny; Model.Draw sets the key of its draws
	Projector     *Projector // head that maps features to embeddings; nil: embeddings are the features
	Predictor     *Predictor // head behind the projector, or behind the encoder where there is no projector; nil: none
	// BatchNormGroups cuts every training batch into that many contiguous runs of equal size, each normalised by its own statistics;
	// 0 stands for 1. It must divide the batch, and leave each run at least two samples.
	BatchNormGroups int
}

// Projector describes the head: Layers linear layers (0 stands for 2), ReLU between them. All but the last have Hidden outputs and, with
// BatchNorm, a batch norm instead of a bias; the last has Out outputs and a bias.
type Projector struct {
	Hidden, Out int
	BatchNorm   bool
	Layers      int
}

// Predictor describes the head that maps an embedding to a guess at another view's (Grill et al., "Bootstrap your own latent", 2020):
// built like a Projector, as wide at its end as at its start.
type Predictor struct {
	Hidden    int
	BatchNorm bool
	Layers    int // 0 stands for 2
}

func (p *Predictor) head(width int) *Projector {
	return &Projector{Hidden: p.Hidden, Out: width, BatchNorm: p.BatchNorm, Layers: p.Layers}
}

func (p *Projector) layers() int {
	if p.Layers == 0 {
		return 2
	}
	return p.Layers
}

func (o Options) patch() int {
	if o.Patch == 0 {
		return DefaultPatch
	}
	return o.Patch
}

// validate reports every field out of range.
func (o Options) validate() error {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(o.InH >= minSide && o.InW >= minSide, "images are %d×%d, expected at least %d×%d", o.InH, o.InW, minSide, minSide)
	check(o.InC >= 1, "images have %d channels, expected 1 or more", o.InC)
	check(o.Stem == "" || o.Stem == StemCIFAR || o.Stem == StemImageNet, "stem %q, expected %s or %s", o.Stem, StemCIFAR, StemImageNet)
	check(o.Norm == "" || o.Norm == NormBatch || o.Norm == NormGroup, "norm %q, expected %s or %s", o.Norm, NormBatch, NormGroup)
	check(o.Patch >= 0, "patches of %d, expected 1 or more", o.Patch)
	check(o.BatchNormGroups >= 0, "batch norm in %d groups, expected 1 or more", o.BatchNormGroups)
	for _, rate := range []struct {
		name  string
		value float64
	}{{"attention", o.Dropout.Attention}, {"projection", o.Dropout.Projection}, {"position", o.Dropout.Position}, {"path", o.Dropout.Path}} {
		check(rate.value >= 0 && rate.value < 1, "%s dropout of %v, expected at least 0 and less than 1", rate.name, rate.value)
	}
	head := func(name string, p *Projector) {
		check(p.Layers >= 0, "%s of %d layers, expected 1 or more", name, p.Layers)
		check(p.Out >= 1, "%s with %d outputs, expected 1 or more", name, p.Out)
		check(p.layers() == 1 || p.Hidden >= 1, "%s with %d hidden units, expected 1 or more", name, p.Hidden)
	}
	if o.Projector != nil {
		head("projector", o.Projector)
	}
	if o.Predictor != nil {
		head("predictor", o.Predictor.head(1))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrOptions, strings.Join(wrong, "; "))
}
