package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestAFullDiskLeavesTheOldObject(t *testing.T) {
	f := newFolder(t.TempDir())
	if err := f.Put(t.Context(), "a/k", strings.NewReader("old"), 3); err != nil {
		t.Fatal(err)
	}
	create := f.create
	f.create = func(name string) (*os.File, error) { // every write to /dev/full fails with the kernel's own ENOSPC
		if err := os.Symlink("/dev/full", name); err != nil {
			return nil, err
		}
		return os.OpenFile(name, os.O_WRONLY, 0)
	}
	err := f.Put(t.Context(), "a/k", strings.NewReader("new"), 3)
	if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("Put on a full disk: %v", err)
	}
	if err := f.Put(t.Context(), "b/c/k", strings.NewReader("new"), 3); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Put on a full disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.root, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of what was not put: %v", err)
	}
	f.create = create
	entries, err := os.ReadDir(filepath.Join(f.root, "a"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "k" {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	if got, err := os.ReadFile(filepath.Join(f.root, "a/k")); string(got) != "old" || err != nil {
		t.Errorf("k holds %q, %v", got, err)
	}
}

func TestTemporaryFilesOfTheDeadAreSwept(t *testing.T) {
	root := t.TempDir()
	dead, alive := filepath.Join(root, tempPrefix+"1-1"), filepath.Join(root, tempPrefix+"1-2")
	if err := os.WriteFile(dead, []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	writer, err := os.Create(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	if err := syscall.Flock(int(writer.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	f := newFolder(root)
	if got, err := f.List(t.Context(), ""); err != nil || len(got) != 0 {
		t.Errorf("List shows %v, %v", got, err)
	}
	if err := f.Put(t.Context(), "k", strings.NewReader("1"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead writer's file is still there: %v", err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("the living writer's file is gone: %v", err)
	}
}

func TestPutAndDeleteOfOneFolderRace(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			f := newFolder(root) // as separate processes would
			for range 100 {
				key := fmt.Sprintf("a/b/%d", i)
				if err := f.Put(t.Context(), key, strings.NewReader("1"), 1); err != nil {
					t.Error(err)
				}
				if err := f.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestErrnoBecomesASentinel(t *testing.T) {
	f := newFolder("/data")
	for errno, kind := range map[syscall.Errno]error{
		syscall.EACCES: ErrDenied, syscall.EROFS: ErrDenied, syscall.ENOSPC: ErrNoSpace, syscall.EDQUOT: ErrNoSpace, syscall.ENOENT: ErrNotExist,
	} {
		err := f.fail(t.Context(), "get", "k", &fs.PathError{Op: "open", Path: "/data/k", Err: errno})
		if !errors.Is(err, kind) || !errors.Is(err, errno) || strings.Count(err.Error(), "/data/k") != 1 {
			t.Errorf("%v: %v", errno, err)
		}
	}
	err := f.fail(t.Context(), "put", "a/k", &fs.PathError{Op: "mkdir", Path: "/data/a", Err: syscall.ENOTDIR})
	if !errors.Is(err, ErrURI) || errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), "mkdir /data/a: not a directory; name a folder that can be made") {
		t.Errorf("a folder below a file: %v", err)
	}
}

func TestLinksToFilesAreListed(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "x"), []byte("1"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"file": filepath.Join(other, "x"), "nothing": filepath.Join(other, "y"), "circle": root} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newFolder(root).List(t.Context(), "")
	if err != nil || len(got) != 1 || got[0].Key != "file" || got[0].Size != 1 {
		t.Errorf("List = %v, %v", got, err)
	}
}

func TestURIs(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"s3://b": "s3://b", "s3://b/": "s3://b", "s3://b/p/q/": "s3://b/p/q", "file:///a//b/": "file:///a/b", "/a/b": "file:///a/b",
		"file://./x": "file://" + dir + "/x", "x y%20": "file://" + dir + "/x y%20", "file://x": "file://" + dir + "/x",
	} {
		if l, err := parse(uri); err != nil || l.String() != want {
			t.Errorf("parse(%q) = %q, %v, want %q", uri, l, err, want)
		}
	}
	for _, uri := range []string{"", "file://", "s3://", "s3:///p", "http://x", "gs://b/k", "s3://b/../c", "s3://b/a//c"} {
		if _, err := parse(uri); !errors.Is(err, ErrURI) {
			t.Errorf("parse(%q): %v", uri, err)
		}
	}
	for uri, want := range map[string][2]string{
		"s3://b/p/k": {"s3://b", "p/k"}, "file:///a/b": {"file:///a", "b"}, "/k": {"file:///", "k"}, "x": {"file://" + dir, "x"},
	} {
		if b, k, err := Split(uri); err != nil || b != want[0] || k != want[1] {
			t.Errorf("Split(%q) = %q, %q, %v", uri, b, k, err)
		}
	}
	for _, uri := range []string{"s3://b", "s3://b/", "file:///a/", "/", "http://x/y"} {
		if _, _, err := Split(uri); !errors.Is(err, ErrURI) {
			t.Errorf("Split(%q): %v", uri, err)
		}
	}
}
