package shard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

const fashion = "../examples/data/fashion-mnist/"

func mustPack(t *testing.T, o PackOptions) Packed {
	t.Helper()
	p, err := Pack(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheShippedImagesSurvivePacking(t *testing.T) {
	dir := t.TempDir()
	calls := 0
	p, err := Pack(t.Context(), PackOptions{Source: fashion + "test-images-idx3-ubyte.gz", Dest: dir, Name: "test", Shards: 3, Seed: 5}, func(done, total int) {
		if calls++; done != calls || total != 2000 {
			t.Fatalf("progress %d/%d at call %d", done, total, calls)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.URI != "file://"+dir+"/test-{000..002}.tar" || len(p.Shards) != 3 || p.Samples != 2000 || calls != 2000 {
		t.Fatalf("%+v after %d calls", p, calls)
	}
	images, err := readIDX(fashion+"test-images-idx3-ubyte.gz", "images", 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := readIDX(fashion+"test-labels-idx1-ubyte.gz", "labels", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen, inPlace := map[int]bool{}, 0
	if err := Scan(t.Context(), mustOpen(t, p.URI, Options{}), func(s Sample) error {
		var i int
		if _, err := fmt.Sscanf(s.Key, "%d", &i); err != nil {
			return err
		}
		seen[i] = true
		if uint64(i) == s.ID {
			inPlace++
		}
		img, err := png.Decode(bytes.NewReader(s.Members["png"]))
		if err != nil {
			return err
		}
		if g, ok := img.(*image.Gray); !ok || !bytes.Equal(g.Pix, images.Item(i)) {
			t.Fatalf("image %d has changed", i)
		}
		if n, err := Label(s); err != nil || n != int(labels.Data[i]) {
			t.Fatalf("label %d is %d, %v", i, n, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2000 || inPlace > 10 {
		t.Errorf("%d samples, of which %d were not shuffled", len(seen), inPlace)
	}
}

func TestTheShippedTrainingSet(t *testing.T) {
	images, err := readIDX(fashion+"train-images-idx3-ubyte.gz", "images", 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := readIDX(fashion+"train-labels-idx1-ubyte.gz", "labels", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(images.Dims, []int{10_000, 28, 28}) || !slices.Equal(labels.Dims, []int{10_000}) || slices.Max(labels.Data) != 9 {
		t.Errorf("images %v, labels %v up to %d", images.Dims, labels.Dims, slices.Max(labels.Data))
	}
}

// writeIDX makes an IDX file of n small colour or grey images and its labels.
func writeIDX(t *testing.T, dir string, n int, dims ...byte) string {
	t.Helper()
	images, size := []byte{0, 0, 8, byte(1 + len(dims)), 0, 0, 0, byte(n)}, 1
	for _, d := range dims {
		images = append(images, 0, 0, 0, d)
		size *= int(d)
	}
	labels := []byte{0, 0, 8, 1, 0, 0, 0, byte(n)}
	for i := range n {
		for j := range size {
			images = append(images, byte(i*31+j))
		}
		labels = append(labels, byte(i%3))
	}
	name := filepath.Join(dir, "some-images-idx3-ubyte")
	for path, data := range map[string][]byte{name: images, filepath.Join(dir, "some-labels-idx1-ubyte"): labels} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func TestPackingIsDeterministic(t *testing.T) {
	server := miniotest.Start(t, "data")
	source := writeIDX(t, t.TempDir(), 20, 4, 5, 3)
	dir := t.TempDir()
	pack := func(dest string, access blob.Options, seed uint64) []byte {
		p := mustPack(t, PackOptions{Source: source, Dest: dest, Access: access, SamplesPerShard: 20, Seed: seed})
		if len(p.Shards) != 1 || p.URI != p.Shards[0] {
			t.Fatalf("%+v", p)
		}
		b, err := blob.Open(t.Context(), dest, access)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(t.Context(), "shard-000.tar", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || r.Close() != nil {
			t.Fatal(err)
		}
		return data
	}
	a := pack(dir+"/a", blob.Options{}, 1)
	if !bytes.Equal(a, pack("s3://data/b", server.Options(), 1)) {
		t.Error("a second packing has other bytes")
	}
	if bytes.Equal(a, pack(dir+"/c", blob.Options{}, 2)) {
		t.Error("another seed has the same order")
	}
	s, err := mustOpen(t, dir+"/a/", Options{}).Read(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(s.Members["png"]))
	if err != nil || img.Bounds() != image.Rect(0, 0, 5, 4) {
		t.Fatalf("a colour image became %v, %v", img.Bounds(), err)
	}
	var i int
	if _, err := fmt.Sscanf(s.Key, "%d", &i); err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := img.At(1, 0).RGBA()
	if first := byte(i*31 + 3); byte(r) != first || byte(g) != first+1 || byte(b) != first+2 {
		t.Errorf("a pixel of image %d is %d %d %d", i, byte(r), byte(g), byte(b))
	}
}

// writeImages makes a folder with class sub-folders; each file holds an image in the format of its ending.
func writeImages(t *testing.T, root string, names ...string) {
	t.Helper()
	for i, name := range names {
		img := image.NewGray(image.Rect(0, 0, 3+i, 2))
		img.SetGray(1, 1, color.Gray{Y: byte(i)})
		var b bytes.Buffer
		var err error
		switch strings.ToLower(filepath.Ext(name)) {
		case ".png":
			err = png.Encode(&b, img)
		case ".jpg", ".jpeg":
			err = jpeg.Encode(&b, img, nil)
		default:
			b.WriteString("no image")
		}
		path := filepath.Join(root, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o777)
		}
		if err == nil {
			err = os.WriteFile(path, b.Bytes(), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPackAFolderOfClasses(t *testing.T) {
	root, dest := t.TempDir(), t.TempDir()
	writeImages(t, root, "cat/1.png", "cat/1.JPG", "cat/v1.2.jpeg", "cat/deep/er/1.png", "big dog/x y.png", "big dog/notes.txt", ".hidden/1.png", "README")
	p := mustPack(t, PackOptions{Source: "file://" + root, Dest: dest, KeepOrder: true})
	if !slices.Equal(p.Classes, []string{"big dog", "cat"}) || p.Samples != 5 || !slices.Equal(p.Ignored, []string{".hidden", "README", "big dog/notes.txt"}) {
		t.Errorf("%+v", p)
	}
	var got []string
	if err := Scan(t.Context(), mustOpen(t, p.URI, Options{}), func(s Sample) error {
		for name, data := range s.Members {
			if name == "cls" {
				continue
			}
			n, err := Label(s)
			got = append(got, fmt.Sprintf("%s.%s=%d", s.Key, name, n))
			if _, _, decodeErr := image.Decode(bytes.NewReader(data)); decodeErr != nil || err != nil {
				t.Errorf("%s: %v, %v", s.Key, decodeErr, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"big dog/x y.png=0", "cat/1.jpg=1", "cat/1~2.png=1", "cat/deep/er/1.png=1", "cat/v1-2.jpg=1"}; !slices.Equal(got, want) {
		t.Errorf("samples are %q, want %q", got, want)
	}
	data, err := os.ReadFile(filepath.Join(dest, "classes.json"))
	var list classList
	if err != nil || json.Unmarshal(data, &list) != nil || !slices.Equal(list.Classes, p.Classes) {
		t.Errorf("classes.json is %s, %v", data, err)
	}
	// A test set beside it takes its numbers from classes.json, and must know no other class.
	test := t.TempDir()
	writeImages(t, test, "cat/7.png")
	q := mustPack(t, PackOptions{Source: test, Dest: dest, Name: "test"})
	s, err := mustOpen(t, q.URI, Options{}).Read(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Label(s); err != nil || n != 1 {
		t.Errorf("the test set's cat has the number %d, %v", n, err)
	}
	writeImages(t, test, "cow/7.png")
	if _, err := Pack(t.Context(), PackOptions{Source: test, Dest: dest, Name: "more"}, nil); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), `"cow"`) {
		t.Errorf("an unknown class: %v", err)
	}
}

// Images that nobody has sorted are what this program is for: they are packed without labels, from one folder or from many.
func TestPackImagesWithoutClasses(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		ask   bool
		want  []string
	}{
		"one folder":               {[]string{"a.png", "b.jpg", "notes.txt", ".c.png"}, false, []string{"a.png", "b.jpg"}},
		"folders that say nothing": {[]string{"2024/a.png", "2025/05/a.jpg", "b.png", ".cache/c.png"}, true, []string{"2024/a.png", "2025/05/a.jpg", "b.png"}},
	} {
		root, dest := t.TempDir(), t.TempDir()
		writeImages(t, root, c.files...)
		p := mustPack(t, PackOptions{Source: root, Dest: dest, Unlabelled: c.ask, KeepOrder: true})
		if p.Samples != len(c.want) || p.Classes != nil {
			t.Errorf("%s: %+v", name, p)
		}
		var got []string
		if err := Scan(t.Context(), mustOpen(t, p.URI, Options{}), func(s Sample) error {
			for member := range s.Members {
				got = append(got, s.Key+"."+member)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: members are %q, want %q", name, got, c.want)
		}
		if _, err := os.Stat(filepath.Join(dest, "classes.json")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: classes.json: %v", name, err)
		}
	}
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPackOverwritesOnlyWhenAsked(t *testing.T) {
	source, dest := writeIDX(t, t.TempDir(), 9, 2, 2), t.TempDir()
	mustPack(t, PackOptions{Source: source, Dest: dest, Shards: 3})
	mustPack(t, PackOptions{Source: source, Dest: dest, Name: "shard-of-others"})
	if _, err := Pack(t.Context(), PackOptions{Source: source, Dest: dest, Shards: 2}, nil); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "shard-000.tar and 2 more") {
		t.Errorf("a second packing: %v", err)
	}
	mustPack(t, PackOptions{Source: source, Dest: dest, Shards: 2, Overwrite: true, Limit: 4})
	if got := listed(t, dest); !slices.Equal(got, []string{"shard-000.tar", "shard-001.tar", "shard-of-others-000.tar"}) {
		t.Errorf("there is %q", got)
	}
	if d := mustOpen(t, dest+"/shard-0*.tar", Options{}); d.Len() != 4 {
		t.Errorf("%d samples", d.Len())
	}
}

func TestAPackingThatFailsLeavesNothing(t *testing.T) {
	root, dest := t.TempDir(), filepath.Join(t.TempDir(), "new")
	writeImages(t, root, "a/1.png", "a/2.png", "a/3.png")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Pack(ctx, PackOptions{Source: root, Dest: dest, SamplesPerShard: 1}, func(done, _ int) {
		if done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled packing: %v", err)
	}
	if got := listed(t, dest); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	_, err = Pack(t.Context(), PackOptions{Source: root, Dest: dest, SamplesPerShard: 1}, func(done, _ int) {
		if done == 1 { // the order is shuffled, so that any of the others may come last
			for _, name := range []string{"1", "2", "3"} {
				_ = os.Remove(filepath.Join(root, "a", name+".png"))
			}
		}
	})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), root) {
		t.Errorf("a source that vanishes: %v", err)
	}
	if got := listed(t, dest); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestPackSaysWhatIsWrong(t *testing.T) {
	good := writeIDX(t, t.TempDir(), 5, 2, 2)
	dir := t.TempDir()
	write := func(name, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	short := write("short-images", "\x00\x00\x08\x03\x00\x00\x00\x09\x00\x00\x00\x02\x00\x00\x00\x02abcd")
	mixed := t.TempDir()
	writeImages(t, mixed, "1.png", "cat/2.png")
	hollow := t.TempDir()
	if err := os.MkdirAll(filepath.Join(hollow, "cat"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    PackOptions
		is   error
		says string
	}{
		"no source":       {PackOptions{Source: dir + "/nothing"}, os.ErrNotExist, "name an IDX image file or a folder"},
		"no labels":       {PackOptions{Source: write("x-images", "\x00\x00\x08\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01")}, os.ErrNotExist, "x-labels"},
		"unknown labels":  {PackOptions{Source: write("pictures", "")}, ErrFormat, "name the label file"},
		"text":            {PackOptions{Source: write("text-images", "this is text"), Labels: good}, ErrFormat, "starts with"},
		"cut":             {PackOptions{Source: short, Labels: good}, ErrTruncated, "4 of the 36 bytes"},
		"counts":          {PackOptions{Source: good, Labels: write("labels", "\x00\x00\x08\x01\x00\x00\x00\x02ab")}, ErrFormat, "5 images"},
		"swapped":         {PackOptions{Source: strings.Replace(good, "images-idx3", "labels-idx1", 1), Labels: good}, ErrFormat, "dimensions"},
		"mixed folder":    {PackOptions{Source: mixed}, ErrFormat, "--unlabelled"},
		"file unlabelled": {PackOptions{Source: good, Unlabelled: true}, ErrFormat, "is a file"},
		"empty classes":   {PackOptions{Source: hollow}, ErrNoSamples, ".png"},
		"name":            {PackOptions{Source: good, Name: "a/b"}, ErrPattern, "no slash"},
		"both":            {PackOptions{Source: good, Shards: 1, SamplesPerShard: 1}, nil, "one of the first two"},
		"many shards":     {PackOptions{Source: good, Shards: 6}, nil, "only 5 samples"},
		"destination":     {PackOptions{Source: good, Dest: "gs://x/y"}, blob.ErrURI, "scheme"},
	} {
		if c.o.Dest == "" {
			c.o.Dest = t.TempDir()
		}
		_, err := Pack(t.Context(), c.o, nil)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
