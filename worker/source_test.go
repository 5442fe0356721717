package worker

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/pkg/transform"
	"github.com/sslctl/sslctl/shard"
)

func TestInspectKnowsTheMembersThatAreDecoded(t *testing.T) {
	if a, b := shard.ImageMembers(), transform.Members(); !slices.Equal(a, b) {
		t.Errorf("inspect looks for %v, jobs for %v", a, b)
	}
}

// Samples that lack an image can't be trained on, which the index tells before the first step.
func TestSamplesWithoutAnImageAreFoundAtTheStart(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"0.png", "0.cls", "1.cls", "2.webp", "2.cls", "3.jpg"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := errors.Join(w.Close(), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	data, err := shard.Open(t.Context(), "file://"+file, shard.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkMembers(data, 2); err != nil {
		t.Errorf("two lack one, two are allowed: %v", err)
	}
	want := "samples without an image: 2 of 4, allowed are 1 (spec.dataset.maxCorrupt): the first is file://" + file + "#1 with the members cls; expected one of png, jpg, jpeg, npy in each"
	if err := checkMembers(data, 1); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
