package shard

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob"
)

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	p := mustPack(t, PackOptions{Source: fashion + "test-images-idx3-ubyte.gz", Dest: dir, Limit: 500, SamplesPerShard: 200})
	steps := 0
	s, err := Inspect(t.Context(), p.URI, InspectOptions{Decode: true, Progress: func(done, total int) { steps++ }})
	if err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for label, n := range s.Labels {
		if label < 0 || label > 9 {
			t.Errorf("label %d", label)
		}
		sum += n
	}
	if s.Shards != 3 || s.Samples != 500 || s.Bytes != p.Bytes || s.ShardSamples != [2]uint64{166, 167} || sum != 500 || len(s.Labels) != 10 ||
		s.Unlabelled != 0 || fmt.Sprint(s.Members) != "map[png+cls:500]" || fmt.Sprint(s.Images) != "map[28×28 grey:500]" || s.ShuffleWindow != 4096 ||
		len(s.Problems) != 0 || steps != 3 {
		t.Errorf("%+v", s)
	}
	if f := s.First; f == nil || len(f.Members) != 2 || f.Members[0].Name != "png" || f.Members[0].Image != "28×28 grey" || f.Members[1].Bytes != 1 {
		t.Errorf("the first sample is %+v", f)
	}
}

func TestInspectTellsProblems(t *testing.T) {
	dir := t.TempDir()
	b, err := blob.Open(t.Context(), dir, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, data []byte) {
		if err := b.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	files := []file{
		{name: "0.png", data: "no image"}, {name: "0.cls", data: "1"}, {name: "1.json", data: `{"label": 2}`}, {name: "2.txt"},
		{name: "3.cls", data: "cat"}, {name: "README"},
	}
	for i := range 15 {
		files = append(files, file{name: fmt.Sprintf("bad%d.png", i), data: "x"})
	}
	whole := makeTar(t, 0, files...)
	put("a.tar", whole)
	put("b.tar", whole[:3000])
	put("e.tar", makeTar(t, 0, file{name: "1.cls", data: "0"}))
	put("d.tar.gz", nil)
	s, err := Inspect(t.Context(), dir+"/{a.tar,b.tar,c.tar,d.tar.gz,e.tar}", InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(s.Problems, "\n")
	for _, part := range []string{
		"0.png can't be decoded", `"3": its member cls is "cat"`, `key "1" occurs twice`, `"README" belongs to no sample`, "7 more: image that can't be decoded",
		`e.tar: the sample "1" has the members cls; expected one of png, jpg, jpeg, npy`, "b.tar ends at byte 3000", "c.tar", "gzip",
	} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is missing in\n%s", part, all)
		}
	}
	if s.Samples != 20 || s.Unlabelled != 17 || s.Labels[2] != 2 {
		t.Errorf("%+v", s)
	}
	if _, err := Inspect(t.Context(), dir+"/{x,y}.tar", InspectOptions{}); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a data set that is not there: %v", err)
	}
	if _, err := Inspect(t.Context(), "s3://nothing/x.tar", InspectOptions{Access: blob.Options{Endpoint: "http://127.0.0.1:1", Retry: blob.Retry{Budget: -1}}}); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("an endpoint where nobody listens: %v", err)
	}
}
