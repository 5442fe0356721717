package shard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/sslctl/sslctl/internal/blob"
)

// Options say how to open a data set.
type Options struct {
	Access blob.Options
	// Cache keeps the shards' indexes, under index/. Nil: every Open reads every shard once.
	Cache blob.Bucket
	// Parallel is how many shards are indexed at once, default ParallelDefault.
	Parallel int
	// Rank and World let several workers with one Cache share the indexing: each begins with another part of the shards, and takes from
	// the cache what the others have done.
	Rank, World int
	// Progress, if set, is called after each shard, from one goroutine at a time.
	Progress func(done, total int)
}

// ParallelDefault is Options.Parallel where it is 0. Workers that share the indexing of no more shards than these begin with all of them.
const ParallelDefault = 4

// Dataset is a list of indexed shards. A sample's global index is its place in the concatenation of all shards, in the pattern's order.
// It is immutable and safe for concurrent use.
type Dataset struct {
	uri    string
	shards []shardAt
	starts []uint64 // starts[i] is the global index of shard i's first sample; one more entry holds the total
	bytes  int64    // of all samples
	retry  blob.Retry
}

type shardAt struct {
	location
	index *Index
}

// Open expands a URL pattern (see Expand) and indexes its shards, or loads their indexes from the cache.
func Open(ctx context.Context, uri string, o Options) (*Dataset, error) {
	// What fails names the object or the pattern that it is about.
	places, err := locate(ctx, uri, o.Access)
	if err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	indexes := make([]*Index, len(places))
	var mu sync.Mutex
	done := 0
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(max(o.Parallel, 0), ParallelDefault))
	first := 0
	if o.World > 1 {
		first = len(places) * (o.Rank % o.World) / o.World
	}
	for i := range places {
		i = (i + first) % len(places)
		group.Go(func() error {
			x, err := loadIndex(groupCtx, places[i], o.Cache)
			if err != nil {
				return err
			}
			indexes[i] = x
			mu.Lock()
			defer mu.Unlock()
			if done++; o.Progress != nil {
				o.Progress(done, len(places))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	d := &Dataset{uri: uri, retry: o.Access.Retry}
	for i, x := range indexes {
		d.add(shardAt{places[i], x})
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("open data set %s: %w in its shards (%d); expected members such as 0001.png and 0001.cls in each", uri, ErrNoSamples, len(d.shards))
	}
	return d, nil
}

// locate expands a pattern and opens each bucket once.
func locate(ctx context.Context, uri string, access blob.Options) ([]location, error) {
	objects, err := Expand(ctx, uri, access)
	if err != nil {
		return nil, err
	}
	buckets := map[string]blob.Bucket{}
	places := make([]location, len(objects))
	for i, object := range objects {
		base, key, err := blob.Split(object)
		if err != nil {
			return nil, err
		}
		b := buckets[base]
		if b == nil {
			if b, err = blob.Open(ctx, base, access); err != nil {
				return nil, err
			}
			buckets[base] = b
		}
		places[i] = location{bucket: b, key: key, object: blob.Join(base, key)}
	}
	return places, nil
}

// Size is the number of bytes of all shards of a URL pattern, without reading them.
func Size(ctx context.Context, uri string, access blob.Options) (bytes int64, err error) {
	places, err := locate(ctx, uri, access)
	if err != nil {
		return 0, fmt.Errorf("look at data set: %w", err)
	}
	for _, l := range places {
		o, err := l.stat(ctx)
		if err != nil {
			return 0, fmt.Errorf("look at data set: %w", err)
		}
		bytes += o.Size
	}
	return bytes, nil
}

func (d *Dataset) add(s shardAt) {
	if len(d.starts) == 0 {
		d.starts = []uint64{0}
	}
	d.shards = append(d.shards, s)
	d.starts = append(d.starts, d.Len()+uint64(len(s.index.Samples)))
	d.bytes += s.index.SampleBytes()
}

// URI is the pattern that the data set was opened with.
func (d *Dataset) URI() string { return d.uri }

// Len is the number of samples.
func (d *Dataset) Len() uint64 { return d.starts[len(d.starts)-1] }

// Bytes is the sum of all samples' sizes in their shards.
func (d *Dataset) Bytes() int64 { return d.bytes }

// Indexes are the shards' indexes, in the data set's order. They must not be changed.
func (d *Dataset) Indexes() []*Index {
	all := make([]*Index, len(d.shards))
	for i, s := range d.shards {
		all[i] = s.index
	}
	return all
}

// Shape is what the order of samples depends on.
func (d *Dataset) Shape() Shape {
	s := Shape{Bytes: d.bytes}
	for _, shard := range d.shards {
		s.Shards = append(s.Shards, uint64(len(shard.index.Samples)))
	}
	return s
}

// Locate returns the shard of a sample and its place there. It panics for an id outside of the data set.
func (d *Dataset) Locate(id uint64) (shard, i int) {
	if id >= d.Len() {
		panic(fmt.Sprintf("shard: sample %d of %d", id, d.Len()))
	}
	shard = sort.Search(len(d.shards), func(s int) bool { return d.starts[s+1] > id })
	return shard, int(id - d.starts[shard])
}

func (d *Dataset) entry(id uint64) Entry {
	s, i := d.Locate(id)
	return d.shards[s].index.Samples[i]
}

// Describe names a sample for people: its shard's URI and its key, which is quoted where it is not plain text.
func (d *Dataset) Describe(id uint64) string {
	s, i := d.Locate(id)
	key := d.shards[s].index.Samples[i].Key
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		key = strconv.Quote(key)
	}
	return d.shards[s].object + "#" + key
}

// Without counts the samples that have none of some members, and returns the id of the first of them.
func (d *Dataset) Without(members ...string) (n, first uint64) {
	for s, shard := range d.shards {
		lacking := make([]bool, len(shard.index.Kinds))
		for k, kind := range shard.index.Kinds {
			lacking[k] = !slices.ContainsFunc(members, func(m string) bool { return slices.Contains(kind, m) })
		}
		if !slices.Contains(lacking, true) {
			continue
		}
		for i, e := range shard.index.Samples {
			if !lacking[e.Kind] {
				continue
			}
			if n == 0 {
				first = d.starts[s] + uint64(i)
			}
			n++
		}
	}
	return n, first
}

// Members are the names of a sample's members, in the order in which they lie.
func (d *Dataset) Members(id uint64) []string {
	s, _ := d.Locate(id)
	return d.shards[s].index.Members(d.entry(id))
}

// Fingerprint is a hash over all samples' contents in order. Where the shards lie does not enter it, so that a copy of a data set has the
// same one.
func (d *Dataset) Fingerprint() string {
	h := sha256.New()
	var b []byte
	for _, s := range d.shards {
		b = binary.LittleEndian.AppendUint64(b[:0], uint64(len(s.index.Samples)))
		for _, e := range s.index.Samples {
			b = binary.LittleEndian.AppendUint64(b, uint64(e.Size))
			b = binary.LittleEndian.AppendUint32(b, e.CRC)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
