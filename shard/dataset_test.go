package shard

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
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

// Names with spaces and with what URLs, shells and patterns know stand for themselves, in braces and beside wildcards too.
func TestNamesAreTakenAsTheyAre(t *testing.T) {
	server := miniotest.Start(t, "data")
	for uri, access := range map[string]blob.Options{"file://" + t.TempDir() + "/my photos": {}, "s3://data/my photos": server.Options()} {
		b, err := blob.Open(t.Context(), uri, access)
		if err != nil {
			t.Fatal(err)
		}
		data := makeTar(t, 0, file{name: "a b/ü+%41&=.1.png", data: "x"}, file{name: "a b/ü+%41&=.1.cls", data: "1"})
		for _, key := range []string{"a b.tar", "100%25+ü&=#.tar", "train 0.tar", "train 1.tar", "ünï/日本.tar"} {
			if err := b.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
				t.Fatal(err)
			}
		}
		for pattern, n := range map[string]uint64{
			"a b.tar": 1, "100%25+ü&=#.tar": 1, "train {0..1}.tar": 2, "train [01].tar": 2, "*+ü*.tar": 1, "* ?.tar": 3, "{a b,train 1}.tar": 2, "ünï/*本.tar": 1, "ünï/": 1, "": 4,
		} {
			d := mustOpen(t, uri+"/"+pattern, Options{Access: access})
			s, err := d.Read(t.Context(), d.Len()-1)
			if err != nil || d.Len() != n || s.Key != "a b/ü+%41&=" || len(s.Members) != 2 {
				t.Errorf("%s/%s: %d samples, the last is %v, %v", uri, pattern, d.Len(), s, err)
			}
		}
	}
}

func TestDescribeIsOneLineOfText(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir, blob.Options{})
	data := makeTar(t, tar.FormatGNU, file{name: "plain ü.png"}, file{name: "new\nline.png"}, file{name: "latin-1 \xe4.png"}, file{name: "no/image.txt"})
	if err := b.Put(t.Context(), "x.tar", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, dir+"/x.tar", Options{})
	for id, want := range []string{"plain ü", `"new\nline"`, `"latin-1 \xe4"`, "no/image"} {
		if got := d.Describe(uint64(id)); got != "file://"+dir+"/x.tar#"+want {
			t.Errorf("sample %d is described as %s", id, got)
		}
	}
	if n, first := d.Without("png", "jpg"); n != 1 || first != 3 || d.Members(first)[0] != "txt" {
		t.Errorf("%d samples lack an image, the first is %d", n, first)
	}
}

// A pass whose bytes were spoiled on the way is made again: else all later reads would be compared with them.
func TestIndexingChecksTheHashOfItsStore(t *testing.T) {
	server := miniotest.Start(t, "data")
	b := store(t, "s3://data/x", server.Options(), 50)
	o, err := b.Stat(t.Context(), "train-000.tar")
	if err != nil || o.MD5 == "" {
		t.Fatalf("%+v, %v", o, err)
	}
	l := location{bucket: b, key: "train-000.tar", object: "s3://data/x/train-000.tar"}
	want, err := makeIndex(t.Context(), l, o, visitor{})
	if err != nil {
		t.Fatal(err)
	}
	onlyFirst := func(at int) func(int, io.ReadCloser) io.ReadCloser {
		return func(n int, r io.ReadCloser) io.ReadCloser {
			if n == 1 {
				return &flip{r, at}
			}
			return r
		}
	}
	for name, c := range map[string]struct {
		spoil func(n int, r io.ReadCloser) io.ReadCloser
		is    error
		reads int
	}{
		"once, in a member":         {onlyFirst(700), nil, 2},
		"once, in a header":         {onlyFirst(5), nil, 2},
		"always elsewhere":          {func(n int, r io.ReadCloser) io.ReadCloser { return &flip{r, 600 + n} }, ErrChecksum, 2},
		"always in the same header": {func(_ int, r io.ReadCloser) io.ReadCloser { return &flip{r, 5} }, ErrFormat, 2},
	} {
		s := &spy{Bucket: b, spoil: c.spoil}
		l.bucket = s
		x, err := makeIndex(t.Context(), l, o, visitor{})
		if !errors.Is(err, c.is) || len(s.gets) != c.reads || err == nil && !slices.Equal(x.Samples, want.Samples) {
			t.Errorf("%s: %v after %d reads", name, err, len(s.gets))
		}
	}
	o.MD5 = strings.Repeat("0", 32) // of other bytes than are served, as with some encryptions
	l.bucket = b
	if x, err := makeIndex(t.Context(), l, o, visitor{}); err != nil || !slices.Equal(x.Samples, want.Samples) {
		t.Error(err)
	}
}

func TestAnObjectThatIsReplacedWhileItIsIndexed(t *testing.T) {
	b := store(t, t.TempDir(), blob.Options{}, 50)
	s := &spy{Bucket: b, before: func() { store(t, strings.TrimPrefix(b.URI(), "file://"), blob.Options{}, 60) }}
	l := location{bucket: s, key: "train-000.tar", object: "file:///train-000.tar"}
	if _, err := loadIndex(t.Context(), l, nil); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "was replaced while it was read") {
		t.Error(err)
	}
}

// The index of many samples stays small, in memory and in its file. BenchmarkIndex has the figures for 200,000.
func TestIndexIsSmall(t *testing.T) {
	const n = 20_000
	x, err := indexTar(manySamples(n), "x.tar", visitor{})
	if err != nil || len(x.Samples) != n {
		t.Fatalf("%d samples, %v", len(x.Samples), err)
	}
	x.Bytes = 1 << 40
	data := x.encode()
	if per := len(data) / n; per > 40 {
		t.Errorf("%d bytes a sample in its file", per)
	}
	var kept *Index
	if per := heldBytes(func() { kept, err = decodeIndex(data) }) / n; err != nil || per > 100 {
		t.Errorf("%d bytes a sample in memory, %v", per, err)
	}
	runtime.KeepAlive(kept)
}

// heldBytes is by how much f lets the heap grow.
func heldBytes(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// manySamples is a shard of n small samples, made while it is read.
func manySamples(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		image := make([]byte, 600)
		for i := range n {
			for _, m := range []struct {
				name string
				data []byte
			}{{"png", image}, {"cls", []byte("7")}} {
				// An error is that the reader has gone.
				_ = t.WriteHeader(&tar.Header{Name: fmt.Sprintf("class-%02d/%08d.%s", i%10, i, m.name), Size: int64(len(m.data)), Mode: 0o644, Typeflag: tar.TypeReg})
				_, _ = t.Write(m.data)
			}
		}
		_ = w.CloseWithError(t.Close())
	}()
	return r
}
