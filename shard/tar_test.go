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
		case tar.TypeFifo:
			h.Typeflag = f.kind
		case tar.TypeSymlink, tar.TypeLink:
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
		{name: "latest", kind: tar.TypeSymlink}, {name: "pipe.png", kind: tar.TypeFifo}, {name: "._0.png", data: "what some systems keep beside a file"},
		{name: ".hidden", data: "x"},
		{name: "ä ö.png", data: strings.Repeat("q", 512)},
		{name: "/rooted/0.png", data: "r"}, {name: "../up/0.png", data: "u"}, {name: "latin-1 \xe4.png", data: "l"},
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
			"ä ö png=qqqq/512", "/rooted/0 png=r/1", "../up/0 png=u/1", "latin-1 \xe4 png=l/1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: samples are\n%s\nwant\n%s", format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if x.Skipped != 3 {
			t.Errorf("%v: %d files skipped, want 3", format, x.Skipped)
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

// record is a member whose PAX header says more of it than its own header does: size, path, or that it is sparse.
func record(t fataler, f file, records ...string) []byte {
	var text strings.Builder
	for _, r := range records {
		n := len(r) + 3 // the length of the line counts its own digits
		for len(fmt.Sprintf("%d %s\n", n, r)) != n {
			n++
		}
		fmt.Fprintf(&text, "%d %s\n", n, r)
	}
	head := makeTar(t, tar.FormatUSTAR, file{name: "PaxHeaders/0", data: text.String()})
	head[156] = tar.TypeXHeader
	fixChecksum(head)
	body := makeTar(t, tar.FormatUSTAR, f)
	copy(body[124:136], "00000000000\x00") // its size
	fixChecksum(body)
	return append(head[:len(head)-1024], body...)
}

func TestRecordsGiveSizeAndName(t *testing.T) {
	data := slices.Concat(
		record(t, file{name: "short.png", data: strings.Repeat("x", 700)}, "size=700", "path="+strings.Repeat("long/", 60)+"0.png", "mtime=1.5", "SCHILY.xattr.user.note=y"),
		makeTar(t, 0, file{name: "1.png", data: "1"}))
	at := len(data) - 2048 - 1024 // two blocks of zeros between the two would end the archive
	data = slices.Concat(data[:at], data[at+1024:])
	_, all := samplesOf(t, data)
	if len(all) != 2 || all[0].Key != strings.Repeat("long/", 60)+"0" || len(all[0].Members["png"]) != 700 || all[1].Key != "1" {
		t.Errorf("samples are %.400v", all)
	}
}

func TestBadShardsAreRefused(t *testing.T) {
	sparse := makeTar(t, tar.FormatGNU, file{name: "a.png", data: "x"})
	sparse[156] = tar.TypeGNUSparse
	fixChecksum(sparse)
	one := string(makeTar(t, 0, file{name: "a.png", data: "x"}))
	for name, c := range map[string]struct {
		data string
		is   error
		says string
	}{
		"gzip":           {"\x1f\x8b\x08\x00 and more", ErrCompressed, "is gzip; decompress it (gzip -dc x.tar > x-plain.tar)"},
		"zstd":           {"\x28\xb5\x2f\xfd and more", ErrCompressed, "is zstd; decompress it (zstd -dc"},
		"bzip2":          {"BZh91AY", ErrCompressed, "bzip2 -dc"},
		"xz":             {"\xfd7zXZ\x00\x00", ErrCompressed, "xz -dc"},
		"lz4":            {"\x04\x22\x4d\x18\x40", ErrCompressed, "lz4 -dc"},
		"zip":            {"PK\x03\x04 and more", ErrCompressed, "is zip; unpack it and make a tar"},
		"no tar":         {strings.Repeat("this is text\n", 100), ErrFormat, "plain tar"},
		"sparse":         {string(sparse), ErrFormat, "sparse"},
		"sparse, POSIX":  {string(record(t, file{name: "a.png", data: "1\n0\n1\n" + strings.Repeat("\x00", 506) + "x"}, "size=513", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=a.png", "GNU.sparse.realsize=1")), ErrFormat, "sparse"},
		"doubled":        {string(makeTar(t, 0, file{name: "a.png"}, file{name: "a.PNG"})), ErrFormat, `two members "png"`},
		"split":          {string(makeTar(t, 0, file{name: "a.png"}, file{name: "b.png"}, file{name: "a.cls"})), ErrFormat, `the sample "a" begins twice, at bytes 0 and 1024`},
		"repeated":       {string(makeTar(t, 0, file{name: "a.png"}, file{name: "b.png"}, file{name: "./a.png"})), ErrFormat, "tar --sort=name"},
		"hard link":      {string(makeTar(t, 0, file{name: "a.png"}, file{name: "b.cls"}, file{name: "b.png", kind: tar.TypeLink})), ErrFormat, `"b.png" at byte 1024 is a link to "elsewhere"`},
		"symbolic link":  {string(makeTar(t, 0, file{name: "a.png", kind: tar.TypeSymlink})), ErrFormat, "tar --dereference --hard-dereference"},
		"two archives":   {one + one, ErrFormat, "goes on behind its end-of-archive mark at byte 2048"},
		"garbage behind": {one + strings.Repeat("\x00", 8000) + "!", ErrFormat, "goes on behind its end-of-archive mark"},
		"nothing":        {"", ErrTruncated, "ends at byte 0"},
		"no mark":        {one[:1024], ErrTruncated, "ends at byte 1024 without an end-of-archive mark"},
		"an image":       {"\x89PNG\r\n\x1a\n" + strings.Repeat("\x01", 2000), ErrFormat, "plain tar"},
	} {
		_, err := indexTar(strings.NewReader(c.data), "s3://b/x.tar", visitor{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "s3://b/x.tar") {
			t.Errorf("%s: %v", name, err)
		}
	}
	label := makeTar(t, tar.FormatGNU, file{name: "volume"})
	label[156] = 'V'
	fixChecksum(label)
	if _, err := indexTar(bytes.NewReader(label), "x.tar", visitor{skip: func(name, why string) { t.Errorf("%s is a problem: %s", name, why) }}); err != nil {
		t.Errorf("the label of a volume: %v", err)
	}
	for name, data := range map[string]string{"empty": strings.Repeat("\x00", 1024), "one block of zeros": one[:1536], "filled up": one + strings.Repeat("\x00", 7168)} {
		if _, err := indexTar(strings.NewReader(data), "x.tar", visitor{}); err != nil {
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
