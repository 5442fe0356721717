package k8s

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// root is the file system of a container. It can be written to only where a volume is.
type root struct {
	t   testing.TB
	dir string
}

func newRoot(t testing.TB) *root {
	t.Helper()
	return &root{t, t.TempDir()}
}

// folder makes a folder and tells where it is on this machine.
func (r *root) folder(path string) string {
	r.t.Helper()
	dir := filepath.Join(r.dir, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// file makes a file.
func (r *root) file(path, content string) {
	r.t.Helper()
	r.folder(filepath.Dir(path))
	write(r.t, filepath.Join(r.dir, path), content)
}

// install copies a program to its place.
func (r *root) install(program, path string) {
	r.t.Helper()
	r.folder(filepath.Dir(path))
	in, err := os.Open(program)
	if err != nil {
		r.t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(r.dir, path), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		r.t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// lock takes the right to write from every folder but the volumes, and gives it back at the end of the test for cleaning up.
func (r *root) lock(volumes ...string) {
	r.t.Helper()
	var locked []string
	err := filepath.WalkDir(r.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		for _, v := range volumes {
			if path == filepath.Join(r.dir, v) {
				return filepath.SkipDir
			}
		}
		locked = append(locked, path)
		return os.Chmod(path, 0o555)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		for _, path := range locked {
			if err := os.Chmod(path, 0o755); err != nil {
				r.t.Error(err)
			}
		}
	})
}
