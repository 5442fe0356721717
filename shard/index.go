package shard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sslctl/sslctl/internal/blob"
)

// Entry is where one sample lies in its shard.
type Entry struct {
	Key    string
	Offset int64  // of its first header, in bytes
	Size   int64  // to the end of its last member, padding included
	CRC    uint32 // CRC-32C of these bytes
	Kind   uint32 // which of the index's Kinds
}

// Index is what one streaming pass over a shard finds. It is valid for one version of the object.
type Index struct {
	Object  string // URI
	Bytes   int64  // of the whole object
	Version string // as blob.Object has it
	Kinds   [][]string
	Samples []Entry
	Skipped uint64 // files that belong to no sample
}

// Members are the names of a sample's members, in the order in which they lie.
func (x *Index) Members(e Entry) []string { return x.Kinds[e.Kind] }

// SampleBytes is the sum of all samples' sizes.
func (x *Index) SampleBytes() int64 {
	var sum int64
	for _, e := range x.Samples {
		sum += e.Size
	}
	return sum
}

// indexKey is where the index of an object is cached: another version of the object has another key.
func indexKey(object string, o blob.Object) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s", object, o.Size, o.Version))
	return "index/" + hex.EncodeToString(h[:16]) + ".idx"
}

// location is a shard's place: where to read it and how to call it.
type location struct {
	bucket blob.Bucket
	key    string
	object string // URI
}

// stat describes the object. Who names a folder is told how to name what is in it.
func (l location) stat(ctx context.Context) (blob.Object, error) {
	o, err := l.bucket.Stat(ctx, l.key)
	if !errors.Is(err, blob.ErrNotExist) {
		return o, err
	}
	if inside, listErr := l.bucket.List(ctx, l.key+"/"); listErr == nil && len(inside) > 0 {
		return o, fmt.Errorf("%w; write %s/ for all .tar files below it", err, l.object)
	}
	return o, err
}

// loadIndex returns an object's index from the cache, or makes it and keeps it there. cache may be nil.
func loadIndex(ctx context.Context, l location, cache blob.Bucket) (*Index, error) {
	if format := compressedName(l.key); format != "" {
		return nil, compressedError(l.object, format)
	}
	o, err := l.stat(ctx)
	if err != nil {
		return nil, err
	}
	if cache != nil {
		// An index that is missing or damaged is made again; one that can't be reached is an error that would come back on writing.
		x, err := readIndex(ctx, cache, indexKey(l.object, o))
		if err == nil && x.Object == l.object && x.Bytes == o.Size && x.Version == o.Version {
			return x, nil
		}
		if err != nil && !errors.Is(err, blob.ErrNotExist) && !errors.Is(err, ErrFormat) {
			return nil, fmt.Errorf("%w of %s: %w", ErrCache, l.object, err)
		}
	}
	x, err := makeIndex(ctx, l, o, visitor{})
	if err != nil || cache == nil {
		return x, err
	}
	data := x.encode()
	if err := cache.Put(ctx, indexKey(l.object, o), bytes.NewReader(data), int64(len(data))); err != nil {
		return nil, fmt.Errorf("%w of %s: %w", ErrCache, l.object, err)
	}
	return x, nil
}

func makeIndex(ctx context.Context, l location, o blob.Object, v visitor) (x *Index, err error) {
	r, err := l.bucket.Get(ctx, l.key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := r.Close(); err == nil && closeErr != nil {
			x, err = nil, fmt.Errorf("index %s: %w", l.object, closeErr)
		}
	}()
	x, err = indexTar(r, l.object, v)
	if err != nil {
		return nil, err
	}
	x.Object, x.Bytes, x.Version = l.object, o.Size, o.Version
	if n := len(x.Samples); n > 0 && x.Samples[n-1].Offset+x.Samples[n-1].Size > o.Size {
		return nil, fmt.Errorf("%w: %s grew from %d bytes while it was read", ErrChanged, l.object, o.Size)
	}
	return x, nil
}

func readIndex(ctx context.Context, cache blob.Bucket, key string) (*Index, error) {
	r, err := cache.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return decodeIndex(data)
}
