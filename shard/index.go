package shard

import (
	"bytes"
	"context"
	"crypto/md5"
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
	if p := packedName(l.key); p != nil {
		return nil, p.refuse(l.object)
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

// makeIndex reads an object once, and once more where what it read was damaged or has another hash than the store tells: bytes that were
// spoiled on the way must not become what all later reads are compared with. A store whose hash is of other bytes than it serves (of
// encrypted ones) gives the same bytes both times.
func makeIndex(ctx context.Context, l location, o blob.Object, v visitor) (*Index, error) {
	x, sum, err := passOver(ctx, l, o, v)
	damaged := errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated)
	if o.MD5 == "" || err != nil && !damaged || sum == o.MD5 {
		return x, err
	}
	x, again, err := passOver(ctx, l, o, visitor{})
	if err != nil || again == o.MD5 || again == sum {
		return x, err
	}
	return nil, fmt.Errorf("%w: %s was read twice, with different bytes and neither time those with the MD5 %s that its store tells; check the network and the store", ErrChecksum, l.object, o.MD5)
}

// passOver indexes an object in one reading and returns the MD5 of what was read, where the store has one to compare.
func passOver(ctx context.Context, l location, o blob.Object, v visitor) (x *Index, sum string, err error) {
	r, err := l.bucket.Get(ctx, l.key, 0, -1)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if closeErr := r.Close(); err == nil && closeErr != nil {
			x, err = nil, fmt.Errorf("index %s: %w", l.object, closeErr)
		}
	}()
	h, body := md5.New(), io.Reader(r)
	if o.MD5 != "" {
		body = io.TeeReader(r, h)
	}
	if x, err = indexTar(body, l.object, v); err != nil {
		return nil, "", err
	}
	now, err := l.stat(ctx)
	if err != nil {
		return nil, "", err
	}
	if now.Size != o.Size || now.Version != o.Version {
		return nil, "", fmt.Errorf("%w: %s was replaced while it was read: it has %d bytes, and had %d; start again when nobody writes it any more", ErrChanged, l.object, now.Size, o.Size)
	}
	x.Object, x.Bytes, x.Version = l.object, o.Size, o.Version
	return x, hex.EncodeToString(h.Sum(nil)), nil
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
