package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/task"
)

// writeEncoder writes an encoder as safetensors: parameters and running statistics without the projector, under PyTorch's names and in
// its layout. The metadata says what model it is and what it expects.
func writeEncoder(w io.Writer, encoder task.Encoder, job *jobspec.Job, step uint64) error {
	var tensors []checkpoint.Tensor
	for _, p := range encoder.Parameters() {
		tensors = append(tensors, checkpoint.Tensor{Name: p.Name, Value: p.Value})
	}
	image := job.Spec.Model.Image
	metadata := map[string]string{
		"format": "pt", "job": job.Metadata.Name, "model": job.Spec.Model.Name, "step": strconv.FormatUint(step, 10),
		"image": fmt.Sprintf("%dx%dx%d", image.Channels, image.Height, image.Width),
	}
	for _, t := range job.Spec.Transforms {
		if t.Normalize != nil {
			metadata["mean"], metadata["std"] = numberList(t.Normalize.Mean), numberList(t.Normalize.Std)
		}
	}
	if _, _, err := checkpoint.Write(w, tensors, metadata); err != nil {
		return err
	}
	return nil
}

// numberList writes numbers as JSON does.
func numberList(xs []float64) string {
	texts := make([]string, len(xs))
	for i, x := range xs {
		texts[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// Export reads the newest complete checkpoint of a job, or the one at step if step is not nil, and writes its encoder as safetensors to w.
// The job is named by its job file, as the cluster shows it, and its UID. It returns the step exported. Every file is verified before
// it is used; w is written to only when all is well.
func Export(ctx context.Context, specYAML []byte, uid string, step *uint64, w io.Writer) (uint64, error) {
	job, err := jobspec.Parse(specYAML, nil)
	if err != nil {
		return 0, fmt.Errorf("export: read the job file: %w", err)
	}
	options, err := accessOptions(job.Spec.Checkpoint.Access)
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	folder, err := blob.Open(ctx, blob.Join(job.Spec.Checkpoint.URI, jobFolder(job.Metadata.Name, uid)), options)
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	store := bucket{folder}
	manifest, err := pick(ctx, store, step)
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	model, err := newModel(job, keyed.New(job.Spec.Training.Seed))
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	for _, entry := range manifest.Files {
		if entry.VirtualRank != checkpoint.Replicated {
			continue
		}
		file, err := checkpoint.ReadFile(ctx, store, checkpoint.Dir(manifest.Step), entry)
		if err != nil {
			return 0, fmt.Errorf("export: %w", err)
		}
		if err := task.LoadEncoder(model, file.Tensor); err != nil {
			return 0, fmt.Errorf("export %s: %w", path.Join(checkpoint.Dir(manifest.Step), entry.Name), err)
		}
	}
	var b bytes.Buffer
	if err := writeEncoder(&b, task.NewEncoder(model), job, manifest.Step); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return manifest.Step, nil
}

// ErrNoCheckpoint is returned by Export when the checkpoint asked for is not there, or not complete.
var ErrNoCheckpoint = errors.New("no complete checkpoint")

// pick finds the checkpoint of a step, or the newest.
func pick(ctx context.Context, store bucket, step *uint64) (checkpoint.Manifest, error) {
	complete, _, err := checkpoint.List(ctx, store)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	if len(complete) == 0 {
		return checkpoint.Manifest{}, fmt.Errorf("%s holds %w; the first one comes after spec.checkpoint.everySteps steps", store.URI(), ErrNoCheckpoint)
	}
	if step == nil {
		return complete[len(complete)-1], nil
	}
	var have []string
	for _, m := range complete {
		if m.Step == *step {
			return m, nil
		}
		have = append(have, strconv.FormatUint(m.Step, 10))
	}
	return checkpoint.Manifest{}, fmt.Errorf("%s holds %w of step %d; it has those of steps %s", store.URI(), ErrNoCheckpoint, *step, strings.Join(have, ", "))
}
