package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Deleting a job's files takes checkpoints, whole and half, and the index; the exported encoder and other jobs stay.
func TestDeleteJobFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"a-7/step-0000000004/manifest.json", "a-7/step-0000000004/v0.safetensors", "a-7/step-0000000008/v0.safetensors",
		"a-7/index/train.json", "a-7/export/encoder.safetensors", "a-9/step-0000000004/v0.safetensors", "a-9/index/train.json", "a-8/step-0000000004/manifest.json", "a-71/index/train.json",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := fmt.Appendf(nil, `apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: a}
spec:
  dataset: {uri: file:///x.tar}
  model: {name: mlp}
  task: {name: moco}
  optimizer: {lr: 0.1}
  training: {epochs: 1}
  checkpoint: {uri: "file://%s"}
`, dir)
	files, err := FindJobFiles(t.Context(), spec, "7")
	if err != nil || !slices.Equal(files.Steps, []uint64{4, 8}) || files.URI() != "file://"+dir+"/a-7" {
		t.Fatalf("found %+v: %v", files, err)
	}
	if err := files.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Of a job that has exported nothing, nothing stays, and no empty folder either.
	for range 2 { // what is gone already is no error
		if files, err = FindJobFiles(t.Context(), spec, "9"); err != nil {
			t.Fatal(err)
		}
		if err := files.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a-9")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of a deleted job: %v", err)
	}
	var left []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			left = append(left, name)
		}
		return err
	})
	want := []string{"a-7/export/encoder.safetensors", "a-71/index/train.json", "a-8/step-0000000004/manifest.json"}
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("left are %v (%v), want %v", left, err, want)
	}
}
