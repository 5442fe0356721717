package transform

import (
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// recipe is the list of ops of the shipped jobs.
func recipe() []Op {
	return []Op{RandomResizedCrop{Height: 28, Width: 28, Area: [2]float64{0.3, 1}}, Flip{0.5}, Jitter{0.8, 0.8, 1, 1}, Normalize{[]float32{0.286}, []float32{0.353}}}
}

// An op that is added shifts no draw of another: what it adds is all that changes.
func TestDrawsAreIndependentOfOtherOps(t *testing.T) {
	img := gradient(12, 12, 1)
	crop := RandomResizedCrop{Area: [2]float64{0.3, 1}}
	for i := range 20 {
		cropped := Image{12, 12, 1, apply(t, img, draw(i), crop)}
		flipped := Image{12, 12, 1, apply(t, cropped, draw(i), Flip{0.5})}
		if got := apply(t, img, draw(i), crop, Flip{0.5}); !slices.Equal(got, flipped.Pix) {
			t.Errorf("draw %d: flip after crop is not the flip alone of the crop alone", i)
		}
		if got := apply(t, img, draw(i), Erase{Probability: 0, Area: [2]float64{0.1, 0.2}}, crop, Noise{0}, Flip{0.5}); !slices.Equal(got, flipped.Pix) {
			t.Errorf("draw %d: ops without effect change the others' draws", i)
		}
	}
}

func TestTwoOpsOfOneNameDrawApart(t *testing.T) {
	img := gradient(4, 4, 1)
	same := 0
	for i := range 100 {
		if slices.Equal(apply(t, img, draw(i), Flip{0.5}, Flip{0.5}), img.Pix) {
			same++
		}
	}
	if same < 30 || same > 70 {
		t.Errorf("two flips give the image back in %d of 100 cases, want about 50", same)
	}
}

func TestViewsAndPositionsDiffer(t *testing.T) {
	b := NewBatcher(mustNew(t, 28, 28, 1, recipe()...))
	img := gradient(28, 28, 1)
	images, positions := []Image{img, img, img}, []uint64{5, 6, 5}
	key := keyed.New(1).For("transform")
	v1, v2 := b.New(3), b.New(3)
	if err := b.View(v1, images, positions, 1, key); err != nil {
		t.Fatal(err)
	}
	if err := b.View(v2, images, positions, 2, key); err != nil {
		t.Fatal(err)
	}
	row := func(x []float32, i int) []float32 { return x[i*784 : (i+1)*784] }
	a, c := v1.Float32s(), v2.Float32s()
	if slices.Equal(row(a, 0), row(c, 0)) {
		t.Error("view 1 equals view 2")
	}
	if slices.Equal(row(a, 0), row(a, 1)) {
		t.Error("two positions have one view")
	}
	if !slices.Equal(row(a, 0), row(a, 2)) {
		t.Error("one position and view has two results: its place in the batch matters")
	}
}

// The bits do not depend on how many goroutines work.
func TestBatchIsTheSameOnAnyNumberOfThreads(t *testing.T) {
	b := NewBatcher(mustNew(t, 28, 28, 1, append(recipe(), Noise{0.1})...))
	images, positions := make([]Image, 50), make([]uint64, 50)
	for i := range images {
		images[i] = gradient(20+i%13, 28, 1)
		positions[i] = uint64(1000 + 7*i)
	}
	defer simd.SetThreads(0)
	var want []float32
	for _, threads := range []int{1, 2, 7} {
		simd.SetThreads(threads)
		for range 3 {
			out := b.New(len(images))
			if err := b.View(out, images, positions, 1, draw(0)); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = out.Float32s()
			}
			if !slices.Equal(out.Float32s(), want) {
				t.Errorf("%d threads give other bits", threads)
			}
		}
	}
	p := mustNew(t, 28, 28, 1, append(recipe(), Noise{0.1})...)
	out := make([]float32, 784)
	for i := range images {
		if err := p.Apply(out, images[i], draw(0).At(positions[i], 1)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out, want[i*784:(i+1)*784]) {
			t.Errorf("image %d alone has other bits than in the batch", i)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	p := mustNew(t, 4, 4, 1, Flip{0.5})
	out := make([]float32, 16)
	for want, img := range map[string]Image{
		"expected 1 channels": gradient(4, 4, 3),
		"the ops make it 5×4, into 16 values; expected 4×4 and 16: add a randomResizedCrop": gradient(5, 4, 1),
		"with 3 values": {4, 4, 1, make([]float32, 3)},
	} {
		if err := p.Apply(out, img, draw(0)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Apply: %v, want an error with %q", err, want)
		}
	}
	if err := p.Apply(out[:15], gradient(4, 4, 1), draw(0)); err == nil {
		t.Error("Apply accepts a short destination")
	}
	b := NewBatcher(p)
	images := []Image{gradient(4, 4, 1), gradient(5, 4, 1), gradient(6, 4, 1)}
	if err := b.View(b.New(3), images, []uint64{7, 8, 9}, 0, draw(0)); err == nil || !strings.Contains(err.Error(), "image 1 of the batch, position 8") {
		t.Errorf("View: %v, want the first bad image and its position", err)
	}
	if err := b.View(b.New(2), images, []uint64{7, 8, 9}, 0, draw(0)); err == nil {
		t.Error("View accepts a tensor of another size")
	}
}

func TestApplyLeavesTheImage(t *testing.T) {
	img := gradient(28, 28, 1)
	before := slices.Clone(img.Pix)
	apply(t, img, draw(0), recipe()...)
	if !slices.Equal(img.Pix, before) {
		t.Error("Apply has changed its input")
	}
}

func TestEvaluationOnlyNormalises(t *testing.T) {
	p, err := Evaluation(28, 28, 1, Normalize{[]float32{0.286}, []float32{0.353}})
	if err != nil {
		t.Fatal(err)
	}
	img := gradient(28, 28, 1)
	out := make([]float32, 784)
	if err := p.Apply(out, img, draw(0)); err != nil {
		t.Fatal(err)
	}
	for i, v := range img.Pix {
		if out[i] != (v-0.286)/0.353 {
			t.Fatalf("value %d is %v", i, out[i])
		}
	}
	if err := p.Apply(out, gradient(14, 30, 1), draw(0)); err != nil {
		t.Errorf("another size: %v", err)
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	p := mustNew(t, 28, 28, 1, append(recipe(), Noise{0.1}, Erase{Probability: 1, Area: [2]float64{0.1, 0.2}})...)
	img, out := gradient(28, 28, 1), make([]float32, 784)
	key := draw(0)
	if n := testing.AllocsPerRun(100, func() {
		if err := p.Apply(out, img, key); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Apply allocates %v times", n)
	}
}

// One step of the shipped jobs: 512 views on one core.
func BenchmarkRecipe512(b *testing.B) { benchmark(b, recipe()...) }

func BenchmarkCrop512(b *testing.B)  { benchmark(b, recipe()[0]) }
func BenchmarkGamma512(b *testing.B) { benchmark(b, Jitter{Gamma: 1, Probability: 1}) }
func BenchmarkNoise512(b *testing.B) { benchmark(b, Noise{0.1}) }

func benchmark(b *testing.B, ops ...Op) {
	p := mustNew(b, 28, 28, 1, ops...)
	img, out := gradient(28, 28, 1), make([]float32, 784)
	b.ReportAllocs()
	for b.Loop() {
		for i := range 512 {
			if err := p.Apply(out, img, draw(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
