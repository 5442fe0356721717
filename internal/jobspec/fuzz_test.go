package jobspec

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzParse reads anything without a panic: either with ErrInvalid, or into a job whose canonical form gives an equal job.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/invalid/*.yaml", "../../examples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, "spec.training.epochs=1")
		}
	}
	f.Add([]byte(valid), "spec.transforms=[flip: , jitter: {gamma: 1}]")
	f.Add([]byte(valid), "metadata.labels={? [a] : b}")
	f.Add([]byte("{? {a: b} : c}"), "a[0].b=1")
	f.Fuzz(func(t *testing.T, data []byte, override string) {
		job, err := Parse(data, []string{override})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			return
		}
		again, err := Parse(job.YAML(), nil)
		if err != nil || !reflect.DeepEqual(again, job) {
			t.Fatalf("the canonical form gives another job: %v\n%s", err, job.YAML())
		}
	})
}
