package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// content is what sample i of a test's data set holds.
func content(i int) string { return strings.Repeat(fmt.Sprintf("sample %d ", i), 1+i%50) }

// store writes shards of the given sizes below a bucket's URI as train-000.tar and so on.
func store(t *testing.T, uri string, access blob.Options, sizes ...int) blob.Bucket {
	t.Helper()
	b, err := blob.Open(t.Context(), uri, access)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for s, n := range sizes {
		var files []file
		for range n {
			files = append(files, file{name: fmt.Sprintf("dir/%05d.txt", i), data: content(i)}, file{name: fmt.Sprintf("dir/%05d.cls", i), data: fmt.Sprint(i % 10)})
			i++
		}
		data := makeTar(t, 0, files...)
		if err := b.Put(t.Context(), fmt.Sprintf("train-%03d.tar", s), bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func mustOpen(t *testing.T, uri string, o Options) *Dataset {
	t.Helper()
	d, err := Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustOrder(t *testing.T, d *Dataset, o OrderOptions) *Order {
	t.Helper()
	order, err := NewOrder(d.Shape(), o)
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// quick are access options whose retries take no time.
func quick() blob.Options {
	return blob.Options{Retry: blob.Retry{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}}
}

// checkSample compares a sample with what store wrote.
func checkSample(t *testing.T, s Sample) {
	t.Helper()
	i := int(s.ID)
	if s.Key != fmt.Sprintf("dir/%05d", i) || string(s.Members["txt"]) != content(i) || string(s.Members["cls"]) != fmt.Sprint(i%10) || len(s.Members) != 2 {
		t.Fatalf("sample %d is %q with members %q", s.ID, s.Key, s.Members)
	}
}

func TestReadersYieldTheOrder(t *testing.T) {
	server := miniotest.Start(t, "data")
	folder := "file://" + t.TempDir()
	sizes := []int{40, 1, 0, 77, 130, 20}
	store(t, folder, blob.Options{}, sizes...)
	store(t, "s3://data/set one", server.Options(), sizes...)
	for _, c := range []struct {
		uri    string
		access blob.Options
	}{{folder + "/train-{000..005}.tar", blob.Options{}}, {folder + "/", blob.Options{}}, {"s3://data/set one/train-*.tar", server.Options()}} {
		t.Run(c.uri[:7], func(t *testing.T) {
			d := mustOpen(t, c.uri, Options{Access: c.access})
			if d.Len() != 268 {
				t.Fatalf("%d samples", d.Len())
			}
			order := mustOrder(t, d, OrderOptions{Seed: 3, Batch: 24, VirtualRanks: 4, Window: 32})
			for v := range uint64(4) {
				for _, start := range []uint64{0, 100, 268, 500} {
					r, err := NewReader(t.Context(), d, order, v, start, ReadOptions{End: 900, MemoryBytes: 5000})
					if err != nil {
						t.Fatal(err)
					}
					for pos := start; pos < 900; pos++ {
						if order.VirtualRank(pos) != v {
							continue
						}
						got, s, err := r.Next(t.Context())
						if err != nil || got != pos || s.ID != order.Sample(pos) {
							t.Fatalf("Next = %d, sample %d, %v; want %d, %d", got, s.ID, err, pos, order.Sample(pos))
						}
						checkSample(t, s)
					}
					if _, _, err := r.Next(t.Context()); err != io.EOF {
						t.Fatalf("at the end: %v", err)
					}
					r.Close()
				}
			}
			next := uint64(0)
			if err := Scan(t.Context(), d, func(s Sample) error {
				if s.ID != next {
					t.Fatalf("Scan yields %d, want %d", s.ID, next)
				}
				next++
				checkSample(t, s)
				return nil
			}); err != nil || next != d.Len() {
				t.Fatalf("Scan ended at %d: %v", next, err)
			}
		})
	}
	a := mustOpen(t, folder+"/", Options{})
	b := mustOpen(t, "s3://data/set one/", Options{Access: server.Options()})
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("a copy has another fingerprint")
	}
}

// spy is a Bucket that counts, and can spoil, what is read.
type spy struct {
	blob.Bucket
	mu     sync.Mutex
	gets   [][2]int64 // offset and length
	spoil  func(n int, r io.ReadCloser) io.ReadCloser
	before func()
}

func (s *spy) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if s.before != nil {
		s.before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets = append(s.gets, [2]int64{offset, length})
	r, err := s.Bucket.Get(ctx, key, offset, length)
	if err == nil && s.spoil != nil {
		r = s.spoil(len(s.gets), r)
	}
	return r, err
}

// spied lets all reads of a data set go through a spy.
func spied(d *Dataset) *spy {
	s := &spy{Bucket: d.shards[0].bucket}
	for i := range d.shards {
		d.shards[i].bucket = s
	}
	return s
}

func TestReadsAreCoalescedAndBounded(t *testing.T) {
	folder := "file://" + t.TempDir()
	store(t, folder, blob.Options{}, 300, 300)
	d := mustOpen(t, folder+"/", Options{})
	s := spied(d)
	order := mustOrder(t, d, OrderOptions{Seed: 3, Batch: 8, VirtualRanks: 2, Window: 30})
	const limit = 60_000 // of about 600 kB
	r, err := NewReader(t.Context(), d, order, 1, 0, ReadOptions{End: d.Len(), MemoryBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 300 {
		if _, _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.gets); n > 300/30+2 {
		t.Errorf("300 samples in 10 windows took %d requests", n)
	}
	largest := int64(0)
	for first := uint64(0); first < d.Len(); first += 30 {
		sum := int64(0)
		for id := first; id < first+30; id++ {
			sum += d.entry(id).Size
		}
		largest = max(largest, sum)
	}
	if peak := r.stream.memory.peak; peak > limit+largest || r.stream.memory.held != 0 {
		t.Errorf("%d bytes were held at the peak, %d at the end; the limit is %d, a window %d", peak, r.stream.memory.held, limit, largest)
	}
}

func TestFarSamplesAreAskedForApart(t *testing.T) {
	dir := t.TempDir()
	b, err := blob.Open(t.Context(), dir, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var files []file
	for i, size := range []int{10, 100_000, 10, 10, 6 << 20, 3 << 20, 9 << 20, 10} {
		files = append(files, file{name: fmt.Sprintf("%d.txt", i), data: strings.Repeat("x", size)})
	}
	data := makeTar(t, 0, files...)
	if err := b.Put(t.Context(), "x.tar", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, dir+"/x.tar", Options{})
	ids := []uint64{7, 0, 2, 4, 3, 5, 6}
	all, of := d.plan(ids, make([][]byte, len(ids)))
	var got []string
	for _, tr := range all {
		var keys []string
		for _, it := range tr.items {
			keys = append(keys, it.entry.Key)
		}
		got = append(got, strings.Join(keys, "+"))
	}
	if want := []string{"0", "2+3+4", "5", "6", "7"}; !slices.Equal(got, want) || of[0] != all[4] || of[6] != all[3] {
		t.Errorf("transfers are %q, want %q", got, want)
	}
}

// flip inverts one byte of what is read.
type flip struct {
	io.ReadCloser
	at int
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 0xff
	}
	f.at -= n
	return n, err
}

func TestWrongBytesAreAskedForAgain(t *testing.T) {
	folder := "file://" + t.TempDir()
	store(t, folder, blob.Options{}, 50)
	d := mustOpen(t, folder+"/", Options{Access: quick()})
	s := spied(d)
	s.spoil = func(n int, r io.ReadCloser) io.ReadCloser {
		if n <= 2 {
			return &flip{r, 40_000}
		}
		return r
	}
	n := 0
	if err := Scan(t.Context(), d, func(s Sample) error { n++; checkSample(t, s); return nil }); err != nil || n != 50 {
		t.Fatalf("%d samples, %v", n, err)
	}
	if len(s.gets) != 3 || s.gets[1][0] == 0 || s.gets[2][0] <= s.gets[1][0] {
		t.Errorf("requests %v; each should begin at the first sample not yet verified", s.gets)
	}
	s.spoil = func(_ int, r io.ReadCloser) io.ReadCloser { return &flip{r, 600} }
	_, err := d.Read(t.Context(), 7)
	if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), "train-000.tar") || !strings.Contains(err.Error(), "dir/00007") {
		t.Errorf("bytes that stay wrong: %v", err)
	}
	if s, err := mustOpen(t, folder+"/", Options{}).Read(t.Context(), 7); err != nil || s.Key != "dir/00007" {
		t.Errorf("Read(7) = %+v, %v", s, err)
	}
}

func TestAReplacedObjectIsNoticed(t *testing.T) {
	folder := "file://" + t.TempDir()
	b := store(t, folder, blob.Options{}, 50)
	d := mustOpen(t, folder+"/", Options{Access: quick()})
	for name, data := range map[string][]byte{
		"other": makeTar(t, 0, file{name: "a.txt", data: strings.Repeat("x", 200_000)}), "short": makeTar(t, 0, file{name: "a.txt"}),
	} {
		if err := b.Put(t.Context(), "train-000.tar", bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
		for _, id := range []uint64{0, 49} {
			if _, err := d.Read(t.Context(), id); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "start a new job") {
				t.Errorf("%s: Read(%d): %v", name, id, err)
			}
		}
	}
	if err := b.Delete(t.Context(), "train-000.tar"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), 0); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a deleted object: %v", err)
	}
}

func TestReadersEndWithTheirContext(t *testing.T) {
	folder := "file://" + t.TempDir()
	store(t, folder, blob.Options{}, 200)
	d := mustOpen(t, folder+"/", Options{})
	order := mustOrder(t, d, OrderOptions{Batch: 2, VirtualRanks: 1, Window: 10})
	block := make(chan struct{})
	s := spied(d)
	s.before = func() { <-block }
	waitCtx, cancelWait := context.WithCancel(t.Context())
	cancelWait()
	r, err := NewReader(t.Context(), d, order, 0, 0, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Next(waitCtx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a cancelled context: %v", err)
	}
	close(block)
	if pos, _, err := r.Next(t.Context()); err != nil || pos != 0 {
		t.Errorf("Next after a cancelled one: %d, %v", pos, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	other, err := NewReader(ctx, d, order, 0, 0, ReadOptions{MemoryBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for {
		if _, _, err = other.Next(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Next of a cancelled reader: %v", err)
	}
	other.Close()
	r.Close()
	if _, _, err := r.Next(t.Context()); err == nil {
		for err == nil { // what was fetched may still be handed out
			_, _, err = r.Next(t.Context())
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Next of a closed reader: %v", err)
		}
	}
}

func TestReplacementIsRead(t *testing.T) {
	folder := "file://" + t.TempDir()
	store(t, folder, blob.Options{}, 3)
	d := mustOpen(t, folder+"/", Options{})
	order := mustOrder(t, d, OrderOptions{Batch: 1, VirtualRanks: 1})
	r, err := NewReader(t.Context(), d, order, 0, 0, ReadOptions{End: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[uint64]bool{order.Sample(1): true}
	for attempt := range uint64(2) {
		s, err := r.Replacement(t.Context(), 1, attempt)
		if err != nil || seen[s.ID] {
			t.Fatalf("replacement %d is %d, %v", attempt, s.ID, err)
		}
		checkSample(t, s)
		seen[s.ID] = true
	}
	if _, err := r.Replacement(t.Context(), 1, 2); !errors.Is(err, ErrExhausted) || !strings.Contains(err.Error(), "train-000.tar#dir/") {
		t.Errorf("one more: %v", err)
	}
}

func TestMembersDoNotShareRoom(t *testing.T) {
	raw := makeTar(t, 0, file{name: "a.x", data: "12"}, file{name: "a.y", data: "34"})
	s, err := parseSample(0, "a", raw)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(s.Members["x"], bytes.Repeat([]byte("!"), 2000)...)
	if string(s.Members["y"]) != "34" {
		t.Errorf("appending to x changed y to %q", s.Members["y"])
	}
}
