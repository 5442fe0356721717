package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// WithRetry repeats the operations of b that fail with ErrUnavailable, within the policy's budget for each operation. A read that breaks
// off goes on where it stopped, and renews its budget unless it was slower than leastRate. A Put is repeated only if its reader is an io.Seeker.
func WithRetry(b Bucket, policy Retry) Bucket { return &retrying{b, policy} }

type retrying struct {
	Bucket
	policy Retry
}

func (r *retrying) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	g := &resumingReader{ctx: ctx, bucket: r.Bucket, key: key, offset: offset, length: length, backoff: r.policy.begin()}
	if err := g.open(); err != nil {
		return nil, err
	}
	return g, nil
}

func (r *retrying) Stat(ctx context.Context, key string) (o Object, err error) {
	err = r.policy.Do(ctx, func() error { o, err = r.Bucket.Stat(ctx, key); return err })
	return o, err
}

func (r *retrying) List(ctx context.Context, prefix string) (all []Object, err error) {
	err = r.policy.Do(ctx, func() error { all, err = r.Bucket.List(ctx, prefix); return err })
	return all, err
}

func (r *retrying) Delete(ctx context.Context, key string) error {
	return r.policy.Do(ctx, func() error { return r.Bucket.Delete(ctx, key) })
}

func (r *retrying) Put(ctx context.Context, key string, body io.Reader, size int64) error {
	seeker, ok := body.(io.Seeker)
	if !ok {
		return r.Bucket.Put(ctx, key, body, size)
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("put %s: find the reader's position: %w", Join(r.URI(), key), err)
	}
	return r.policy.Do(ctx, func() error {
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return fmt.Errorf("put %s: rewind the reader: %w", Join(r.URI(), key), err)
		}
		return r.Bucket.Put(ctx, key, body, size)
	})
}

// resumingReader reads one range and opens the rest of it again when the transfer breaks off.
type resumingReader struct {
	ctx     context.Context
	bucket  Bucket
	key     string
	offset  int64 // of the next byte
	length  int64 // still to come; negative: to the end
	body    io.ReadCloser
	came    int64 // bytes in the present attempt
	backoff *backoff
}

func (g *resumingReader) open() error {
	for {
		body, err := g.bucket.Get(g.ctx, g.key, g.offset, g.length)
		if err == nil {
			g.body, g.came = body, 0
			return nil
		}
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		if err := g.backoff.wait(g.ctx, err); err != nil {
			return err
		}
	}
}

func (g *resumingReader) Read(p []byte) (int, error) {
	if g.body == nil {
		if g.length == 0 { // the break came after the last byte
			return 0, io.EOF
		}
		if err := g.open(); errors.Is(err, ErrRange) {
			return 0, io.EOF // the same, for a read to the end
		} else if err != nil {
			return 0, err
		}
	}
	n, err := g.body.Read(p)
	g.offset += int64(n)
	if g.length > 0 {
		g.length -= int64(n)
	}
	g.came += int64(n)
	if err == nil || !errors.Is(err, ErrUnavailable) {
		return n, err
	}
	_ = g.body.Close() // the transfer is lost already; its error is err
	g.body = nil
	g.backoff.progress(g.came)
	return n, g.backoff.wait(g.ctx, err)
}

func (g *resumingReader) Close() error {
	if g.body == nil {
		return nil
	}
	return g.body.Close()
}
