package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

func TestFolderConforms(t *testing.T) {
	conform(t, func(t *testing.T, sub string) blob.Bucket {
		return open(t, "file://"+t.TempDir()+"/"+sub, blob.Options{})
	})
}

func TestS3Conforms(t *testing.T) {
	server := miniotest.Start(t, "store")
	n := 0
	conform(t, func(t *testing.T, sub string) blob.Bucket {
		n++
		return open(t, fmt.Sprintf("s3://store/%d/%s", n, sub), server.Options())
	})
}

func open(t *testing.T, uri string, o blob.Options) blob.Bucket {
	t.Helper()
	b, err := blob.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// conform is what every Bucket does. fresh makes an empty one.
func conform(t *testing.T, fresh func(t *testing.T, sub string) blob.Bucket) {
	t.Run("a new bucket is empty", func(t *testing.T) {
		b := fresh(t, "not/there/yet")
		if got, err := b.List(t.Context(), ""); err != nil || len(got) != 0 {
			t.Fatalf("List = %v, %v", got, err)
		}
		if _, err := b.Stat(t.Context(), "x"); !errors.Is(err, blob.ErrNotExist) || !strings.Contains(err.Error(), b.URI()+"/x") {
			t.Fatalf("Stat of a missing object: %v", err)
		}
		if _, err := b.Get(t.Context(), "x", 0, -1); !errors.Is(err, blob.ErrNotExist) {
			t.Fatalf("Get of a missing object: %v", err)
		}
		if err := b.Delete(t.Context(), "x"); err != nil {
			t.Fatalf("Delete of a missing object: %v", err)
		}
	})
	t.Run("what is put is there", func(t *testing.T) {
		b := fresh(t, "p")
		for _, key := range []string{"plain", "with space/ü+&%41=?#.tar", "a/b/c/d", "x{0..1}*[y]"} {
			put(t, b, key, "contents of "+key)
			if got := read(t, b, key, 0, -1); got != "contents of "+key {
				t.Errorf("%s holds %q", key, got)
			}
			o, err := b.Stat(t.Context(), key)
			if err != nil || o.Key != key || o.Size != int64(len("contents of "+key)) || o.Version == "" || o.Modified.IsZero() {
				t.Errorf("Stat(%s) = %+v, %v", key, o, err)
			}
		}
	})
	t.Run("ranges", func(t *testing.T) {
		b := fresh(t, "p")
		put(t, b, "k", "0123456789")
		put(t, b, "empty", "")
		for _, c := range []struct {
			offset, length int64
			want           string
		}{{0, -1, "0123456789"}, {0, 3, "012"}, {4, 3, "456"}, {7, -1, "789"}, {8, 100, "89"}, {5, 0, ""}, {0, 10, "0123456789"}, {9, 1, "9"}} {
			if got := read(t, b, "k", c.offset, c.length); got != c.want {
				t.Errorf("Get(%d, %d) = %q, want %q", c.offset, c.length, got, c.want)
			}
		}
		for _, length := range []int64{-1, 0, 5} {
			if got := read(t, b, "empty", 0, length); got != "" {
				t.Errorf("the empty object holds %q", got)
			}
		}
		for _, length := range []int64{-1, 1} {
			if _, err := b.Get(t.Context(), "k", 10, length); !errors.Is(err, blob.ErrRange) {
				t.Errorf("Get(10, %d): %v", length, err)
			}
		}
		if _, err := b.Get(t.Context(), "k", -1, 1); !errors.Is(err, blob.ErrRange) {
			t.Errorf("Get(-1, 1): %v", err)
		}
	})
	t.Run("put replaces, and the version changes", func(t *testing.T) {
		b := fresh(t, "p")
		put(t, b, "k", "first")
		old, err := b.Stat(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		put(t, b, "k", "other")
		now, err := b.Stat(t.Context(), "k")
		if err != nil || now.Version == old.Version {
			t.Fatalf("version %q after %q, %v", now.Version, old.Version, err)
		}
		if got := read(t, b, "k", 0, -1); got != "other" {
			t.Fatalf("k holds %q", got)
		}
	})
	t.Run("a failed put leaves nothing", func(t *testing.T) {
		b := fresh(t, "p")
		put(t, b, "old", "old")
		boom := errors.New("boom")
		for _, key := range []string{"old", "new", "sub/new"} {
			err := b.Put(t.Context(), key, io.MultiReader(strings.NewReader("ab"), failing{boom}), 4)
			if !errors.Is(err, boom) || errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("Put of a failing reader: %v", err)
			}
			if err := b.Put(t.Context(), key, strings.NewReader("abc"), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Put of a short reader: %v", err)
			}
		}
		if got := read(t, b, "old", 0, -1); got != "old" {
			t.Errorf("old holds %q", got)
		}
		if got := keys(t, b, ""); !slices.Equal(got, []string{"old"}) {
			t.Errorf("there is %q", got)
		}
	})
	t.Run("list", func(t *testing.T) {
		b := fresh(t, "p")
		for _, k := range []string{"b", "a/2", "a/1", "ab", "a.c", "a/x/y"} {
			put(t, b, k, k)
		}
		for _, c := range []struct{ prefix, want string }{
			{"", "a.c a/1 a/2 a/x/y ab b"}, {"a", "a.c a/1 a/2 a/x/y ab"}, {"a/", "a/1 a/2 a/x/y"}, {"a/x", "a/x/y"}, {"c/d", ""}, {"b/", ""},
		} {
			if got := strings.Join(keys(t, b, c.prefix), " "); got != c.want {
				t.Errorf("List(%q) = %q, want %q", c.prefix, got, c.want)
			}
		}
	})
	t.Run("delete", func(t *testing.T) {
		b := fresh(t, "p")
		put(t, b, "a/b", "1")
		put(t, b, "a/c", "2")
		for _, k := range []string{"a/b", "a/b", "a/c"} {
			if err := b.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		put(t, b, "a", "a file where a folder was")
		if got := keys(t, b, ""); !slices.Equal(got, []string{"a"}) {
			t.Errorf("there is %q", got)
		}
	})
	t.Run("bad keys are refused", func(t *testing.T) {
		b := fresh(t, "p")
		for _, key := range []string{"", "/a", "a//b", "../a", "a/..", "a/./b", "a/", "a\x00b", "x/.sslctl-tmp-1"} {
			_, getErr := b.Get(t.Context(), key, 0, -1)
			_, statErr := b.Stat(t.Context(), key)
			putErr := b.Put(t.Context(), key, strings.NewReader(""), 0)
			for _, err := range []error{getErr, statErr, putErr, b.Delete(t.Context(), key)} {
				if !errors.Is(err, blob.ErrURI) {
					t.Errorf("key %q: %v", key, err)
				}
			}
		}
	})
	t.Run("a large object", func(t *testing.T) {
		b := fresh(t, "p")
		large := bytes.Repeat([]byte("0123456789abcdef"), 34<<20/16) // three parts
		if err := b.Put(t.Context(), "large", bytes.NewReader(large), int64(len(large))); err != nil {
			t.Fatal(err)
		}
		if got := read(t, b, "large", 0, -1); got != string(large) {
			t.Errorf("%d bytes differ from the %d put", len(got), len(large))
		}
		if err := b.Put(t.Context(), "broken", io.MultiReader(bytes.NewReader(large[:20<<20]), failing{io.ErrClosedPipe}), 34<<20); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a large put that fails: %v", err)
		}
		if got := keys(t, b, ""); !slices.Equal(got, []string{"large"}) {
			t.Errorf("there is %q", got)
		}
	})
	t.Run("a cancelled context ends everything", func(t *testing.T) {
		b := fresh(t, "p")
		put(t, b, "k", strings.Repeat("x", 1<<20))
		ctx, cancel := context.WithCancel(t.Context())
		r, err := b.Get(ctx, "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_, readErr := io.Copy(io.Discard, r)
		_ = r.Close()
		_, getErr := b.Get(ctx, "k", 0, -1)
		_, statErr := b.Stat(ctx, "k")
		_, listErr := b.List(ctx, "")
		for op, err := range map[string]error{
			"get": getErr, "stat": statErr, "list": listErr, "read": readErr,
			"put": b.Put(ctx, "new", strings.NewReader("1"), 1), "delete": b.Delete(ctx, "k"),
		} {
			// A read may already have had all of it in its buffers.
			if !errors.Is(err, context.Canceled) && (op != "read" || err != nil) {
				t.Errorf("%s: %v", op, err)
			}
		}
		if got := keys(t, b, ""); !slices.Equal(got, []string{"k"}) {
			t.Errorf("there is %q", got)
		}
	})
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func put(t *testing.T, b blob.Bucket, key, contents string) {
	t.Helper()
	if err := b.Put(t.Context(), key, strings.NewReader(contents), int64(len(contents))); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, b blob.Bucket, key string, offset, length int64) string {
	t.Helper()
	r, err := b.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func keys(t *testing.T, b blob.Bucket, prefix string) []string {
	t.Helper()
	all, err := b.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, o := range all {
		found = append(found, o.Key)
	}
	return found
}
