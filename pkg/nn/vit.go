package nn

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/simd"
)

// DefaultPatch is the side of the patches of a vision transformer for small images.
const DefaultPatch = 4

const (
	tokenStd  = 0.02 // deviation of the initial weights and positions
	classStd  = 1e-6 // deviation of the initial class token
	mlpFactor = 4    // width of a block's inner layer over its own
)

// visionTransformer is a pre-norm transformer over an image's patches and a class token, whose last state, normalised, is the features
// (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021). Names, initial values and order are those of timm's
// VisionTransformer; its widths are those of DeiT (Touvron et al., "Training data-efficient image transformers", ICML 2021).
type visionTransformer struct{ depth, width, heads int }

var viTTiny = visionTransformer{depth: 12, width: 192, heads: 3}

// fits tells whether the patches cover the images.
func (visionTransformer) fits(o Options) error {
	if patch := o.patch(); o.InH%patch != 0 || o.InW%patch != 0 {
		return fmt.Errorf("%w: images are %d×%d, expected multiples of the patches' side, %d", ErrOptions, o.InH, o.InW, patch)
	}
	return nil
}

func (v visionTransformer) build(b *builder, o Options) (sequence, int) {
	patch := o.patch()
	rows, columns := o.InH/patch, o.InW/patch
	tokens := 1 + rows*columns
	embed := &embedding{patches: rows * columns, width: v.width}
	embed.class = b.params.add("cls_token", false, normal(classStd), 1, 1, v.width)
	embed.position = b.params.add("pos_embed", false, normal(tokenStd), 1, tokens, v.width)
	fanIn := patch * patch * o.InC
	project := &conv{
		geometry: simd.Conv{H: rows * patch, W: columns * patch, Cin: o.InC, Cout: v.width, K: patch, Stride: patch},
		weight:   b.params.add("patch_embed.proj.weight", true, uniformFanIn(fanIn), patch, patch, o.InC, v.width),
	}
	embed.bias = b.params.add("patch_embed.proj.bias", false, uniformFanIn(fanIn), v.width)
	drop := o.Dropout
	s := append(sequence{project, embed}, elementDrop("pos_drop", drop.Position, tokens*v.width)...)
	for i := range v.depth {
		name := fmt.Sprintf("blocks.%d.", i)
		path := drop.Path * float64(i) / float64(max(1, v.depth-1))
		after := func(element, whole string) sequence {
			return append(elementDrop(name+element, drop.Projection, tokens*v.width), pathDrop(name+whole, path, tokens*v.width)...)
		}
		s = append(s,
			b.boundary(),
			&residual{
				norm: b.layerNorm(name+"norm1", tokens, v.width),
				inner: sequence{newAttention(b.perToken(name+"attn.qkv", tokens, v.width, 3*v.width),
					newDropout(name+"attn.attn_drop", drop.Attention, v.heads*tokens*tokens), tokens, v.width, v.heads)},
				last:  b.perToken(name+"attn.proj", tokens, v.width, v.width),
				after: after("attn.proj_drop", "drop_path1"),
			},
			b.boundary(),
			&residual{
				norm: b.layerNorm(name+"norm2", tokens, v.width),
				inner: append(sequence{&linearGELU{linear: b.perToken(name+"mlp.fc1", tokens, v.width, mlpFactor*v.width)}},
					elementDrop(name+"mlp.drop1", drop.Projection, tokens*mlpFactor*v.width)...),
				last:  b.perToken(name+"mlp.fc2", tokens, mlpFactor*v.width, v.width),
				after: after("mlp.drop2", "drop_path2"),
			})
	}
	// The norm works token by token: the one that leaves is enough.
	return append(s, b.boundary(), &classToken{tokens: tokens, width: v.width}, b.layerNorm("norm", 1, v.width)), v.width
}
