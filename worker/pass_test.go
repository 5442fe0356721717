package worker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/task"
	"github.com/sslctl/sslctl/pkg/transform"
	"github.com/sslctl/sslctl/shard"
	"gorgonia.org/tensor"
)

const testSamples = 11

// testSource is a data set of 8×8 images that are all different, with samples that cannot be decoded, and a session that trains on it in steps of 4.
func testSource(t *testing.T, corrupt ...uint64) (*session, *source) {
	t.Helper()
	return labelledSource(t, testSamples, corrupt...)
}

// labelledSource is testSource with labels, 100 more than the sample's number, but for samples from one on.
func labelledSource(t *testing.T, unlabelled uint64, corrupt ...uint64) (*session, *source) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range uint64(testSamples) {
		picture := image.NewGray(image.Rect(0, 0, 8, 8))
		picture.SetGray(int(i%8), int(i/8), color.Gray{Y: 255})
		var file bytes.Buffer
		if err := png.Encode(&file, picture); err != nil {
			t.Fatal(err)
		}
		raw := file.Bytes()
		if slices.Contains(corrupt, i) {
			raw = raw[:20]
		}
		members := map[string][]byte{"png": raw}
		if i < unlabelled {
			members["cls"] = fmt.Append(nil, 100+i)
		}
		for name, content := range members {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%02d.%s", i, name), Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := errors.Join(w.Close(), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := testSession(t)
	s.job.Spec.Model.Image = jobspec.Image{Height: 8, Width: 8, Channels: 1}
	s.job.Spec.Training.GlobalBatch = 4
	s.key = keyed.New(3)
	data, err := shard.Open(t.Context(), "file://"+file, shard.Options{})
	if err != nil {
		t.Fatal(err)
	}
	order, err := shard.NewOrder(data.Shape(), shard.OrderOptions{Seed: 1, Batch: 4, VirtualRanks: 2})
	if err != nil {
		t.Fatal(err)
	}
	pipeline, err := transform.New(8, 8, 1, transform.Noise{Std: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	return s, &source{data: data, order: order, batcher: transform.NewBatcher(pipeline), key: s.key.For("transform"), batch: 4, virtualRanks: 2, totalSteps: 5}
}

// viewed runs a pass over the samples between cuts and returns each one's view, as text of exact values.
func viewed(t *testing.T, p *pass, cuts ...uint64) (views []string) {
	t.Helper()
	err := p.run(t.Context(), cuts, func(i int, x *tensor.Dense) error {
		if n := x.Shape()[0]; uint64(n) != cuts[i+1]-cuts[i] {
			t.Errorf("batch %d has %d samples, want those of [%d, %d)", i, n, cuts[i], cuts[i+1])
		}
		for ; len(views) < int(cuts[i+1]-cuts[0]); views = append(views, "") {
		}
		for k := range x.Shape()[0] {
			views[int(cuts[i]-cuts[0])+k] = fmt.Sprint(x.Float32s()[k*64 : (k+1)*64])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return views
}

// A pass makes the same views whoever makes which of them, and leaves no sample out.
func TestAPassDependsOnItsSamplesAlone(t *testing.T) {
	s, src := testSource(t, 4, 5)
	s.job.Spec.Dataset.MaxCorrupt = 2
	whole := viewed(t, &pass{session: s, source: src}, 0, 3, 6, testSamples)
	parts := append(viewed(t, &pass{session: s, source: src}, 0, 5), viewed(t, &pass{session: s, source: src}, 5, 7, 9, testSamples)...)
	if !slices.Equal(whole, parts) {
		t.Error("two passes over parts differ from one over all")
	}
	slices.Sort(whole)
	if different := len(slices.Compact(whole)); different != testSamples {
		t.Errorf("there are %d different views of %d samples", different, testSamples)
	}
	if detail := s.report.snapshot().PhaseDetail; detail != "filling the bank: 6 of 6 samples" {
		t.Errorf("it is reported as %q", detail)
	}
}

func TestAPassStopsAtTheFirstCorruptSampleTooMany(t *testing.T) {
	s, src := testSource(t, 4, 5)
	s.job.Spec.Dataset.MaxCorrupt = 1
	err := (&pass{session: s, source: src}).run(t.Context(), []uint64{0, testSamples}, func(int, *tensor.Dense) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "x.tar#05") || !strings.Contains(err.Error(), "maxCorrupt") {
		t.Errorf("got %v", err)
	}
}

// passing is a task that begins with a pass over the samples between cuts.
type passing struct {
	scripted
	cuts []uint64
}

func (p *passing) Initialize(ctx context.Context, pass task.Pass) error {
	return pass(ctx, p.cuts, func(int, *tensor.Dense) error { return nil })
}

// Which samples a rank passes over is its own matter; whether there are too many corrupt ones must not depend on it.
func TestAllRanksKnowWhatThePassHasMet(t *testing.T) {
	for allowed, fails := range map[int]bool{1: true, 2: false} {
		_, src := testSource(t, 2, 7)
		errs, trainers := twoRanks(t, func(rank int, tr *trainer) error {
			tr.session.job.Spec.Model.Image = jobspec.Image{Height: 8, Width: 8, Channels: 1}
			tr.session.job.Spec.Dataset.MaxCorrupt = allowed
			tr.source, tr.task = src, &passing{cuts: [][]uint64{{0, 5}, {5, testSamples}}[rank]}
			return tr.initialize(t.Context())
		})
		for rank, tr := range trainers {
			known := strings.Join(tr.Corrupt, " ")
			if (errs[rank] != nil) != fails || !strings.Contains(known, "x.tar#02") || !strings.Contains(known, "x.tar#07") || len(tr.Corrupt) != 2 {
				t.Errorf("%d allowed, rank %d: %v; it knows of %v", allowed, rank, errs[rank], tr.Corrupt)
			}
		}
		if !slices.Equal(trainers[0].Corrupt, trainers[1].Corrupt) {
			t.Errorf("the ranks know of %v and %v", trainers[0].Corrupt, trainers[1].Corrupt)
		}
	}
}

// A batch names the samples that are really in it, and has the views that were asked for.
func TestABatchNamesItsSamples(t *testing.T) {
	s, src := testSource(t, 2, 7)
	s.job.Spec.Dataset.MaxCorrupt = 2
	group, err := allreduce.NewGroup(allreduce.Config{World: 1, VirtualRanks: 2, JobUID: "7", Generation: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLoader(t.Context(), s, src, group, wanted{views: []string{"view1"}, labels: true}, 0)
	defer l.close()
	replaced := 0
	for range src.totalSteps {
		batch, err := l.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batch.own {
			if len(b.Fields) != 1 || b.Fields["view1"] == nil {
				t.Errorf("the views are %v", b.Fields)
			}
			for i, position := range b.Positions {
				want := src.order.Sample(position)
				for attempt := uint64(0); want == 2 || want == 7; attempt++ {
					want, _ = src.order.Replacement(position, attempt)
					replaced++
				}
				if b.Samples[i] != want {
					t.Errorf("position %d holds sample %d, want %d", position, b.Samples[i], want)
				}
				if b.Labels[i] != 100+want {
					t.Errorf("sample %d has label %d, want %d", want, b.Labels[i], 100+want)
				}
			}
		}
		l.release(batch)
	}
	if replaced == 0 {
		t.Error("no corrupt sample came up; the case is too easy")
	}
}

// A task that reads labels cannot do without: the first sample without one ends the job, by name.
func TestASampleWithoutALabelIsRefused(t *testing.T) {
	s, src := labelledSource(t, testSamples-1)
	group, err := allreduce.NewGroup(allreduce.Config{World: 1, VirtualRanks: 2, JobUID: "7", Generation: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(labels bool) error {
		l := newLoader(t.Context(), s, src, group, wanted{views: views, labels: labels}, 0)
		defer l.close()
		for range src.totalSteps {
			batch, err := l.next(t.Context())
			if err != nil {
				return err
			}
			l.release(batch)
		}
		return nil
	}
	name := src.data.Describe(testSamples - 1)
	if err := read(true); !errors.Is(err, shard.ErrNoLabel) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "spec.task.loss") {
		t.Errorf("with labels: %v, want one about sample %s", err, name)
	}
	if err := read(false); err != nil {
		t.Errorf("without labels: %v", err)
	}
}
