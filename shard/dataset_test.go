package shard

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob"
)

func TestBraces(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "a", "{a,b}": "a b", "x-{000..003}.tar": "x-000.tar x-001.tar x-002.tar x-003.tar", "{8..11}": "8 9 10 11",
		"{08..11}": "08 09 10 11", "{3..1}": "3 2 1", "{a,b}{1..2}": "a1 a2 b1 b2", "{a,{b,c{1..2}}}/d": "a/d b/d c1/d c2/d", "{a,}": "a ",
		"s3://b/{train,test}-{0..1}.tar": "s3://b/train-0.tar s3://b/train-1.tar s3://b/test-0.tar s3://b/test-1.tar",
	} {
		if got, err := Braces(pattern); err != nil || strings.Join(got, " ") != want {
			t.Errorf("Braces(%q) = %q, %v, want %q", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"{a", "a}", "{abc}", "{}", "{1..x}", "{1..}", "{0..9999999}", "{0..999}{0..999}{0..999}", "{-1..2}", "{a,b}}"} {
		if got, err := Braces(pattern); !errors.Is(err, ErrPattern) || !strings.Contains(err.Error(), pattern) {
			t.Errorf("Braces(%q) = %d names, %v", pattern, len(got), err)
		}
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir, blob.Options{}, 1, 1, 1)
	for _, key := range []string{"test-0.tar", "sub/deep-0.tar", "classes.json"} {
		if err := b.Put(t.Context(), key, strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"/train-00[01].tar": "train-000.tar train-001.tar", "/*.tar": "test-0.tar train-000.tar train-001.tar train-002.tar",
		"/": "test-0.tar train-000.tar train-001.tar train-002.tar", "/sub/": "sub/deep-0.tar", "/*/*-?.tar": "sub/deep-0.tar",
		"/{train-00[12],t*-0}.tar": "train-001.tar train-002.tar test-0.tar", "/not-there.tar": "not-there.tar",
	} {
		got, err := Expand(t.Context(), "file://"+dir+pattern, blob.Options{})
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "file://"+dir+"/")
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("Expand(%q) = %q, %v, want %q", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"/no*.tar", "/{a,a}.tar", "/train-*[.tar", "/empty/"} {
		if got, err := Expand(t.Context(), dir+pattern, blob.Options{}); !errors.Is(err, ErrPattern) {
			t.Errorf("Expand(%q) = %q, %v", pattern, got, err)
		}
	}
}

func TestIndexesAreCached(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir, blob.Options{}, 5, 6)
	cache, err := blob.Open(t.Context(), t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	counting := &spy{Bucket: cache}
	cached := func() int {
		all, err := cache.List(t.Context(), "index/")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	var progress []string
	open := func() *Dataset {
		progress = nil
		return mustOpen(t, dir+"/train-{000..001}.tar", Options{Cache: counting, Rank: 1, World: 2, Progress: func(done, total int) {
			progress = append(progress, fmt.Sprintf("%d/%d", done, total))
		}})
	}
	first := open()
	if n := cached(); n != 2 || !slices.Equal(progress, []string{"1/2", "2/2"}) {
		t.Fatalf("%d indexes cached, progress %v", n, progress)
	}
	again := open()
	if fmt.Sprint(first.Indexes()[1].Samples) != fmt.Sprint(again.Indexes()[1].Samples) || first.Fingerprint() != again.Fingerprint() {
		t.Error("the cached index differs")
	}
	// A changed object gets a new index, a damaged index is made again.
	data := makeTar(t, 0, file{name: "new.txt", data: "1"})
	if err := b.Put(t.Context(), "train-001.tar", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if d := open(); d.Len() != 6 || d.Fingerprint() == first.Fingerprint() || cached() != 3 {
		t.Errorf("after a change: %d samples, %d indexes", d.Len(), cached())
	}
	all, err := cache.List(t.Context(), "index/")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if err := cache.Put(t.Context(), o.Key, strings.NewReader("damaged"), 7); err != nil {
			t.Fatal(err)
		}
	}
	if d := open(); d.Len() != 6 {
		t.Errorf("with damaged indexes: %d samples", d.Len())
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir, blob.Options{}, 3, 0)
	put := func(key string, data []byte) {
		if err := b.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	whole := makeTar(t, 0, file{name: "a.png", data: strings.Repeat("x", 5000)})
	put("cut.tar", whole[:3000])
	put("x.tar.gz", []byte("\x1f\x8b"))
	put("disguised.tar", []byte("\x1f\x8b\x08\x00"))
	for uri, c := range map[string]struct {
		is   error
		says string
	}{
		"cut.tar":             {ErrTruncated, "byte 3000"},
		"x.tar.gz":            {ErrCompressed, "decompress"},
		"disguised.tar":       {ErrCompressed, "gzip"},
		"missing-{0..3}.tar":  {blob.ErrNotExist, "missing-"},
		"train-001.tar":       {ErrNoSamples, "in its shards (1)"},
		"../" + base(dir):     {blob.ErrNotExist, "for all .tar files"},
		"train-{000..001.tar": {ErrPattern, "no }"},
	} {
		_, err := Open(t.Context(), dir+"/"+uri, Options{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func base(dir string) string { return dir[strings.LastIndexByte(dir, '/')+1:] }

func TestLabel(t *testing.T) {
	for text, want := range map[string]int{"cls=7": 7, "cls= 12\n": 12, `json={"label": 3, "x": "y"}`: 3, "cls=0": 0} {
		name, data, _ := strings.Cut(text, "=")
		if got, err := Label(Sample{Members: map[string][]byte{name: []byte(data)}}); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"png=x", "cls=", "cls=-1", "cls=cat", "cls=99999999999", `json={"lable": 3}`, `json={"label": "3"}`, `json={"label": 1.5}`, "json=3", "json={"} {
		name, data, _ := strings.Cut(text, "=")
		if got, err := Label(Sample{Key: "k", Members: map[string][]byte{name: []byte(data)}}); !errors.Is(err, ErrNoLabel) {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
