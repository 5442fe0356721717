package shard

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
)

const (
	maxRange = 8 << 20  // bytes that one request asks for, unless one sample is larger
	maxGap   = 64 << 10 // bytes between two samples that are read and dropped rather than asked around
)

// transfer is one ranged read: some samples of one shard that lie close together.
type transfer struct {
	shard shardAt
	items []item
	bytes int64 // of the samples
	done  chan struct{}
	err   error // valid once done is closed
}

// item is one sample to fetch: where it lies, and where its bytes go.
type item struct {
	entry Entry
	into  *[]byte
}

// plan cuts the fetching of samples into transfers, in the order in which the samples lie. into[i] takes the bytes of ids[i].
func (d *Dataset) plan(ids []uint64, into [][]byte) (all []*transfer, of []*transfer) {
	byPlace := make([]int, len(ids))
	for i := range byPlace {
		byPlace[i] = i
	}
	slices.SortFunc(byPlace, func(a, b int) int {
		if ids[a] < ids[b] {
			return -1
		}
		return 1
	})
	of = make([]*transfer, len(ids))
	var t *transfer
	last := -1
	for _, i := range byPlace {
		s, k := d.Locate(ids[i])
		e := d.shards[s].index.Samples[k]
		if t == nil || s != last || !t.reaches(e) {
			t = &transfer{shard: d.shards[s], done: make(chan struct{})}
			all = append(all, t)
		}
		last = s
		t.items = append(t.items, item{e, &into[i]})
		t.bytes += e.Size
		of[i] = t
	}
	return all, of
}

// reaches says whether one more sample of the same shard fits the range.
func (t *transfer) reaches(e Entry) bool {
	begin, end := t.items[0].entry.Offset, t.end()
	return e.Offset-end <= maxGap && e.Offset+e.Size-begin <= maxRange
}

func (t *transfer) end() int64 {
	last := t.items[len(t.items)-1].entry
	return last.Offset + last.Size
}

// checksumRetry is how often wrong bytes are asked for again: connections and caches corrupt rarely, so that a second error tells more
// than a long wait would. It counts attempts, since one of a large range may take long by itself.
func checksumRetry(r blob.Retry) blob.Retry {
	r.First, r.Max, r.Attempts = 100*time.Millisecond, time.Second, 5
	return r
}

// run fetches all items and verifies their checksums.
func (t *transfer) run(ctx context.Context, retry blob.Retry) error {
	next := 0
	var final error
	err := checksumRetry(retry).Do(ctx, func() error {
		n, err := t.attempt(ctx, next)
		next += n
		if errors.Is(err, ErrChecksum) {
			if changed := t.changed(ctx); changed != nil {
				final = changed
				return nil
			}
			return fmt.Errorf("%w: %w", blob.ErrUnavailable, err) // a transport error: to be repeated
		}
		final = err
		return nil
	})
	if err == nil {
		err = final
	}
	return err
}

// attempt fetches the items from first on and returns how many it could verify.
func (t *transfer) attempt(ctx context.Context, first int) (n int, err error) {
	pos := t.items[first].entry.Offset
	r, err := t.shard.bucket.Get(ctx, t.shard.key, pos, t.end()-pos)
	if errors.Is(err, blob.ErrRange) {
		return 0, fmt.Errorf("%w: %w", ErrChecksum, err)
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := r.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("read %s: %w", t.shard.object, closeErr)
		}
	}()
	for _, it := range t.items[first:] {
		_, err := io.CopyN(io.Discard, r, it.entry.Offset-pos)
		raw := make([]byte, it.entry.Size)
		if err == nil {
			_, err = io.ReadFull(r, raw)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, fmt.Errorf("%w: %s ends inside sample %q at byte %d", ErrChecksum, t.shard.object, it.entry.Key, it.entry.Offset)
		case err != nil:
			return n, fmt.Errorf("read sample %q: %w", it.entry.Key, err)
		}
		if sum := crc32.Checksum(raw, castagnoli); sum != it.entry.CRC {
			return n, fmt.Errorf("%w: sample %q, bytes %d to %d of %s: CRC-32C is %08x, its index says %08x; restore the object or start a new job, which indexes it again",
				ErrChecksum, it.entry.Key, it.entry.Offset, it.entry.Offset+it.entry.Size, t.shard.object, sum, it.entry.CRC)
		}
		*it.into = raw
		pos = it.entry.Offset + it.entry.Size
		n++
	}
	return n, nil
}

// changed tells wrong bytes on the way from an object that someone has replaced.
func (t *transfer) changed(ctx context.Context) error {
	o, err := t.shard.stat(ctx)
	if err != nil {
		return err
	}
	x := t.shard.index
	if o.Size == x.Bytes && o.Version == x.Version {
		return nil
	}
	return fmt.Errorf("%w: %s has %d bytes and version %s, indexed were %d bytes and version %s; restore it or start a new job",
		ErrChanged, t.shard.object, o.Size, o.Version, x.Bytes, x.Version)
}
