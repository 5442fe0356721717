package shard

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

// FuzzIndex feeds the indexing pass. Whatever it accepts must read back sample by sample, with the checksums that the index holds. With
// repair, every block that could be a header gets a valid checksum, so that changes go deeper.
func FuzzIndex(f *testing.F) {
	f.Add(makeTar(f, tar.FormatPAX, file{name: "a/0.png", data: "image"}, file{name: "a/0.cls", data: "3"}, file{name: strings.Repeat("n", 120) + ".png"}), true)
	f.Add(makeTar(f, tar.FormatGNU, file{name: "d/", kind: tar.TypeDir}, file{name: strings.Repeat("n", 120) + ".png", data: "x"}), false)
	f.Add(record(f, file{name: "a.png", data: strings.Repeat("x", 700)}, "size=700", "path=ä/b.png"), false)
	f.Add(makeTar(f, tar.FormatPAX, file{name: "a.png"}, file{name: "a.cls", kind: tar.TypeLink}, file{name: "pipe.x", kind: tar.TypeFifo}), true)
	f.Add(makeTar(f, 0, file{name: "./a.png"}, file{name: "b.png"}, file{name: "a.cls"}), false)
	f.Add(bytes.Repeat(makeTar(f, 0, file{name: "latin-1 \xe4\n.png", data: "x"}), 2), false)
	f.Fuzz(func(t *testing.T, data []byte, repair bool) {
		for at := 0; repair && at+block <= len(data); at += block {
			if data[at] != 0 {
				fixChecksum(data[at : at+block])
			}
		}
		x, err := indexTar(bytes.NewReader(data), "fuzz.tar", visitor{})
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrCompressed) {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		end := int64(0)
		for _, e := range x.Samples {
			if e.Offset < end || e.Offset+e.Size > int64(len(data)) {
				t.Fatalf("sample %q lies at %d+%d; the one before ends at %d of %d", e.Key, e.Offset, e.Size, end, len(data))
			}
			end = e.Offset + e.Size
			raw := data[e.Offset:end]
			if crc32.Checksum(raw, castagnoli) != e.CRC {
				t.Fatalf("sample %q: wrong checksum", e.Key)
			}
			s, err := parseSample(0, e.Key, raw)
			if err != nil || len(s.Members) != len(x.Members(e)) {
				t.Fatalf("sample %q: %d members of %v, %v", e.Key, len(s.Members), x.Members(e), err)
			}
		}
		x.Bytes = int64(len(data))
		if _, err := decodeIndex(x.encode()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecodeIndex feeds the index decoder with bodies whose checksum is right.
func FuzzDecodeIndex(f *testing.F) {
	x, err := indexTar(bytes.NewReader(makeTar(f, 0, file{name: "a.png", data: "1"}, file{name: "b.cls", data: "2"})), "x.tar", visitor{})
	if err != nil {
		f.Fatal(err)
	}
	x.Bytes = 1 << 20
	whole := x.encode()
	f.Add(whole[len(indexMagic) : len(whole)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(indexMagic), body...)
		sum := crc32.Checksum(data, castagnoli)
		data = append(data, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		x, err := decodeIndex(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		end := int64(0)
		for _, e := range x.Samples {
			if e.Offset < end || e.Size <= 0 || e.Offset+e.Size > x.Bytes {
				t.Fatalf("accepted %+v", e)
			}
			if int(e.Kind) >= len(x.Kinds) {
				t.Fatalf("accepted %+v", e)
			}
			end = e.Offset + e.Size
		}
	})
}

// FuzzIDX feeds the IDX parser.
func FuzzIDX(f *testing.F) {
	plain := []byte("\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x03abcdef")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(plain); err != nil {
		f.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(plain, 0)
	f.Add(zipped.Bytes(), 1)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		x, err := ParseIDX(bytes.NewReader(data), limit)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTruncated) {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		size := 1
		for _, d := range x.Dims {
			size *= d
		}
		if len(x.Data) != size || limit > 0 && x.Dims[0] > limit {
			t.Fatalf("%d bytes for %v with limit %d", len(x.Data), x.Dims, limit)
		}
		for i := range min(x.Dims[0], 3) {
			x.Item(i)
		}
	})
}

// FuzzBraces feeds the pattern parser.
func FuzzBraces(f *testing.F) {
	f.Add("s3://b/train-{000..009}.tar")
	f.Add("{a,{b,c{1..2}}}/d")
	f.Fuzz(func(t *testing.T, pattern string) {
		all, err := Braces(pattern)
		if err == nil && (len(all) == 0 || len(all) > maxObjects) || err != nil && !errors.Is(err, ErrPattern) {
			t.Fatalf("%d names, %v", len(all), err)
		}
		if err == nil && !strings.ContainsAny(pattern, "{}") && (len(all) != 1 || all[0] != pattern) {
			t.Fatalf("%q became %q", pattern, all)
		}
	})
}
