package nn

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// perToken applies a linear layer to each token of x (n samples of h tokens, c wide).
func (r *plain) perToken(name string, x maps) maps {
	y := r.linear(name, maps{x.n * x.h, 1, 1, x.c, x.v})
	return maps{x.n, x.h, 1, y.c, y.v}
}

func (r *plain) layerNorm(name string, x maps) maps {
	y := maps{x.n, x.h, 1, x.c, make([]float64, len(x.v))}
	for t := 0; t < len(x.v); t += x.c {
		var mean, variance float64
		for _, v := range x.v[t : t+x.c] {
			mean += v / float64(x.c)
		}
		for _, v := range x.v[t : t+x.c] {
			variance += (v - mean) * (v - mean) / float64(x.c)
		}
		for i, v := range x.v[t : t+x.c] {
			y.v[t+i] = (v-mean)/math.Sqrt(variance+1e-6)*r.value[name+".weight"][i] + r.value[name+".bias"][i]
		}
	}
	return y
}

// attention is softmax(q·kᵀ/√d)·v of each sample and head; x holds q, k and v side by side.
func (x maps) attention(heads int) maps {
	width := x.c / 3
	d := width / heads
	y := maps{x.n, x.h, 1, width, make([]float64, x.n*x.h*width)}
	at := func(s, t, part, h, i int) float64 { return x.v[(s*x.h+t)*x.c+part*width+h*d+i] }
	for s := range x.n {
		for h := range heads {
			for t := range x.h {
				share, z := make([]float64, x.h), 0.0
				for u := range share {
					for i := range d {
						share[u] += at(s, t, 0, h, i) * at(s, u, 1, h, i) / math.Sqrt(float64(d))
					}
					share[u] = math.Exp(share[u])
					z += share[u]
				}
				for u := range share {
					for i := range d {
						y.v[(s*x.h+t)*width+h*d+i] += share[u] / z * at(s, u, 2, h, i)
					}
				}
			}
		}
	}
	return y
}

func (r *plain) transformer(x maps, heads int) maps {
	w, k := r.value["patch_embed.proj.weight"], r.shape["patch_embed.proj.weight"][0]
	class, position := r.value["cls_token"], r.value["pos_embed"]
	width := len(class)
	y := maps{x.n, len(position) / width, 1, width, nil}
	for s := range x.n {
		for t := range y.h {
			token := append([]float64(nil), class...)
			if t > 0 {
				copy(token, r.value["patch_embed.proj.bias"])
				a, b := (t-1)/(x.w/k)*k, (t-1)%(x.w/k)*k
				for i := range k * k * x.c {
					for o := range token {
						token[o] += x.v[((s*x.h+a+i/x.c/k)*x.w+b+i/x.c%k)*x.c+i%x.c] * w[i*width+o]
					}
				}
			}
			for o := range token {
				token[o] += position[t*width+o]
			}
			y.v = append(y.v, token...)
		}
	}
	for i := 0; r.value[fmt.Sprintf("blocks.%d.norm1.weight", i)] != nil; i++ {
		name := fmt.Sprintf("blocks.%d.", i)
		branch := r.perToken(name+"attn.qkv", r.layerNorm(name+"norm1", y))
		y = y.join(r.perToken(name+"attn.proj", branch.attention(heads)), y)
		branch = r.perToken(name+"mlp.fc1", r.layerNorm(name+"norm2", y))
		for i, v := range branch.v {
			branch.v[i] = v * math.Erfc(-v/math.Sqrt2) / 2
		}
		y = y.join(r.perToken(name+"mlp.fc2", branch), y)
	}
	y = r.layerNorm("norm", y)
	out := maps{x.n, 1, 1, width, nil}
	for s := range x.n {
		out.v = append(out.v, y.v[s*y.h*width:][:width]...)
	}
	return out
}

// timm's vit_tiny_patch16_224 has 5,717,416 parameters, 193,000 of them in the classifier that is not ours.
func TestViTTinyHasTimmsParameters(t *testing.T) {
	total, names := weights(t, "vit-tiny", Options{InH: 224, InW: 224, InC: 3, Patch: 16})
	if total != 5717416-193000 {
		t.Errorf("%d parameters", total)
	}
	const block = " blocks.0.norm1.weight blocks.0.norm1.bias blocks.0.attn.qkv.weight blocks.0.attn.qkv.bias blocks.0.attn.proj.weight blocks.0.attn.proj.bias" +
		" blocks.0.norm2.weight blocks.0.norm2.bias blocks.0.mlp.fc1.weight blocks.0.mlp.fc1.bias blocks.0.mlp.fc2.weight blocks.0.mlp.fc2.bias"
	want := "cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias"
	for i := range 12 {
		want += strings.ReplaceAll(block, "blocks.0", fmt.Sprint("blocks.", i))
	}
	if got := strings.Join(names, " "); got != want+" norm.weight norm.bias" {
		t.Errorf("names are\n%s", got)
	}
}

func TestViTTinyBegins(t *testing.T) {
	m := build(t, "vit-tiny", Options{InH: 8, InW: 8, InC: 1})
	for _, p := range m.Params().Params {
		var square float64
		for _, v := range p.Value.Float32s() {
			square += float64(v) * float64(v) / float64(p.Len)
		}
		want := 0.0004 // weights and positions, N(0, 0.02²)
		switch {
		case p.Name == "cls_token":
			want = 1e-12
		case strings.HasPrefix(p.Name, "patch_embed"):
			want = 1.0 / 16 / 3 // U(±1/√16)
		case strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, "weight"):
			want = 1
		case strings.HasSuffix(p.Name, "bias"):
			want = 0
		}
		if math.Abs(square-want) > 6*want/math.Sqrt(float64(p.Len)) {
			t.Errorf("%s: mean square %v, want %v", p.Name, square, want)
		}
		if decays := strings.HasSuffix(p.Name, "weight") && !strings.Contains(p.Name, "norm"); p.Decay != decays {
			t.Errorf("%s: decay is %v", p.Name, p.Decay)
		}
	}
}

func TestPatchesCoverTheImage(t *testing.T) {
	for _, o := range []Options{{InH: 10, InW: 8, InC: 1}, {InH: 8, InW: 8, InC: 1, Patch: 3}, {InH: 8, InW: 8, InC: 1, Patch: -1}, {InH: 8, InW: 8, InC: 1, Patch: 16}} {
		if _, err := New("vit-tiny", o, keyed.New(1)); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A model without batch norm takes a single sample, and its threads don't show.
func TestTransformerOfOneSampleAndManyThreads(t *testing.T) {
	t.Cleanup(func() { simd.SetThreads(0) })
	m := buildThin(t, "thin transformer", Options{InH: 16, InW: 16, InC: 1, Projector: &Projector{Hidden: 8, Out: 64}})
	for _, n := range []int{1, 5} {
		x, dz := drawn("images", n, 16, 16, 1), drawn("upstream", n, 64)
		simd.SetThreads(1)
		want := train(m, x, dz)
		simd.SetThreads(4)
		train(m, x, dz).same(t, want)
	}
}
