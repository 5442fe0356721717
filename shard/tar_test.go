package shard

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// file is one entry of a test's tar.
type file struct {
	name string
	data string
	kind byte // tar.TypeReg when 0
}

// makeTar writes a tar; format is the zero value for tar's own choice.
func makeTar(t fataler, format tar.Format, files ...file) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Typeflag: tar.TypeReg, Format: format}
		switch f.kind {
		case tar.TypeDir:
			h.Typeflag = f.kind
		case tar.TypeSymlink:
			h.Typeflag, h.Linkname = f.kind, "elsewhere"
		case tar.TypeXGlobalHeader:
			h = &tar.Header{Typeflag: f.kind, PAXRecords: map[string]string{"comment": "global"}, Format: tar.FormatPAX}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// samplesOf reads all samples of a tar by way of its index.
func samplesOf(t fataler, data []byte) (*Index, []Sample) {
	x, err := indexTar(bytes.NewReader(data), "test.tar", visitor{})
	if err != nil {
		t.Fatal(err)
	}
	var all []Sample
	for i, e := range x.Samples {
		raw := data[e.Offset : e.Offset+e.Size]
		if crc32.Checksum(raw, castagnoli) != e.CRC {
			t.Fatalf("sample %d (%q): wrong checksum", i, e.Key)
		}
		s, err := parseSample(uint64(i), e.Key, raw)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Members) != len(x.Members(e)) {
			t.Fatalf("sample %q has the members %v, its index says %v", e.Key, s.Members, x.Members(e))
		}
		all = append(all, s)
	}
	return x, all
}

func TestIndexFindsSamples(t *testing.T) {
	long := strings.Repeat("long/", 40) + strings.Repeat("n", 120)
	files := []file{
		{name: "pax_global_header", kind: tar.TypeXGlobalHeader},
		{name: "a/", kind: tar.TypeDir},
		{name: "./a/0.png", data: strings.Repeat("p", 700)}, {name: "./a/0.CLS", data: "3"},
		{name: "a/1.seg.png", data: "two dots"}, {name: "a/1.json", data: "{}"},
		{name: "README", data: "no dot"},
		{name: "b.c/0.png", data: ""}, {name: "b.c/x/", kind: tar.TypeDir}, {name: "b.c/0.cls", data: "1"},
		{name: long + ".png", data: "long"}, {name: long + ".cls", data: "2"},
		{name: "link.png", kind: tar.TypeSymlink},
		{name: ".hidden", data: "x"},
		{name: "ä ö.png", data: strings.Repeat("q", 512)},
		{name: "a/0.png", data: "again"},
	}
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		x, all := samplesOf(t, makeTar(t, format, files...))
		var got []string
		for _, s := range all {
			var members []string
			for name, data := range s.Members {
				members = append(members, fmt.Sprintf("%s=%.4s/%d", name, data, len(data)))
			}
			slices.Sort(members)
			got = append(got, s.Key+" "+strings.Join(members, " "))
		}
		want := []string{
			"a/0 cls=3/1 png=pppp/700", "a/1 json={}/2 seg.png=two /8", "b.c/0 cls=1/1 png=/0", long + " cls=2/1 png=long/4",
			"ä ö png=qqqq/512", "a/0 png=agai/5",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: samples are\n%s\nwant\n%s", format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if x.Skipped != 2 {
			t.Errorf("%v: %d files skipped, want 2", format, x.Skipped)
		}
	}
}

func TestIndexOfAnyTar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files []file
		want := map[string]string{}
		for i := range rapid.IntRange(0, 6).Draw(t, "samples") {
			key := fmt.Sprintf("%s%d", strings.Repeat("k", rapid.IntRange(0, 150).Draw(t, "key")), i)
			for j := range rapid.IntRange(1, 3).Draw(t, "members") {
				if rapid.Bool().Draw(t, "folder") {
					files = append(files, file{name: "d/", kind: tar.TypeDir})
				}
				f := file{name: fmt.Sprintf("%s.m%d", key, j), data: strings.Repeat(string(rune('a'+j)), rapid.IntRange(0, 1100).Draw(t, "size"))}
				files = append(files, f)
				want[f.name] = f.data
			}
		}
		format := rapid.SampledFrom([]tar.Format{tar.FormatPAX, tar.FormatGNU}).Draw(t, "format")
		_, all := samplesOf(t, makeTar(t, format, files...))
		for _, s := range all {
			for name, data := range s.Members {
				if w, ok := want[s.Key+"."+name]; !ok || w != string(data) {
					t.Fatalf("%s.%s is %q, want %q", s.Key, name, data, w)
				}
				delete(want, s.Key+"."+name)
			}
		}
		if len(want) != 0 {
			t.Fatalf("missing: %v", want)
		}
	})
}

func TestATruncatedTarIsNeverTaken(t *testing.T) {
	data := makeTar(t, tar.FormatPAX, file{name: "a.png", data: strings.Repeat("x", 700)}, file{name: strings.Repeat("n", 120) + ".png", data: "y"})
	end := len(data) - 1024 // of the last member; two zero blocks follow
	for n := range end + 512 {
		_, err := indexTar(bytes.NewReader(data[:n]), "s3://b/x.tar", visitor{})
		if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "s3://b/x.tar") || !strings.Contains(err.Error(), "byte ") {
			t.Fatalf("cut at %d of %d: %v", n, len(data), err)
		}
	}
}

func TestBadShardsAreRefused(t *testing.T) {
	sparse := makeTar(t, tar.FormatGNU, file{name: "a.png", data: "x"})
	sparse[156] = tar.TypeGNUSparse
	fixChecksum(sparse)
	for name, c := range map[string]struct {
		data string
		is   error
		says string
	}{
		"gzip":     {"\x1f\x8b\x08\x00 and more", ErrCompressed, "gzip"},
		"zstd":     {"\x28\xb5\x2f\xfd and more", ErrCompressed, "zstd"},
		"no tar":   {strings.Repeat("this is text\n", 100), ErrFormat, "plain tar"},
		"sparse":   {string(sparse), ErrFormat, "sparse"},
		"doubled":  {string(makeTar(t, 0, file{name: "a.png"}, file{name: "a.PNG"})), ErrFormat, `two members "png"`},
		"an image": {"\x89PNG\r\n\x1a\n" + strings.Repeat("\x01", 2000), ErrFormat, "plain tar"},
	} {
		_, err := indexTar(strings.NewReader(c.data), "s3://b/x.tar", visitor{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "s3://b/x.tar") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := indexTar(io.MultiReader(bytes.NewReader(sparse[:300]), failing{}), "x.tar", visitor{}); !errors.Is(err, errTransfer) {
		t.Errorf("a failing transfer: %v", err)
	}
}

var errTransfer = errors.New("transfer failed")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errTransfer }

// fixChecksum makes the first header valid again after a change.
func fixChecksum(data []byte) {
	copy(data[148:156], "        ")
	sum := 0
	for _, c := range data[:512] {
		sum += int(c)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestIndexSurvivesItsEncoding(t *testing.T) {
	x, _ := samplesOf(t, makeTar(t, 0, file{name: "a.png", data: "1"}, file{name: "a.cls", data: "2"}, file{name: "x"}, file{name: "b.png"}))
	x.Object, x.Version, x.Bytes = "s3://b/x.tar", "etag", 1<<20
	data := x.encode()
	y, err := decodeIndex(data)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", x) != fmt.Sprintf("%+v", y) {
		t.Errorf("%+v became %+v", x, y)
	}
	for i := range data {
		for _, bad := range [][]byte{data[:i], slices.Concat(data[:i], []byte{data[i] ^ 1}, data[i+1:])} {
			if _, err := decodeIndex(bad); !errors.Is(err, ErrFormat) {
				t.Fatalf("damage at byte %d: %v", i, err)
			}
		}
	}
}
