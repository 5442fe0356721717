// Package blob reads and writes objects in a folder or in an S3 bucket through one small interface. Writes are atomic: an object is
// there whole or not at all. Errors say which object at which endpoint, and what to do; the sentinels in errors.go tell them apart.
package blob

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Object is one stored object as a listing shows it.
type Object struct {
	Key      string // relative to its Bucket
	Size     int64  // bytes
	Version  string // differs after each change of the content: the ETag, or a file's modification time
	Modified time.Time
	MD5      string // of the content, in hex, where the store tells one: S3 does for objects put whole, though not for encrypted ones
}

// Bucket is a set of objects under one URI. Keys are relative to that URI, with "/" between their elements; no element is empty, "." or
// "..". All methods may be called concurrently.
type Bucket interface {
	// URI names the bucket in canonical form: s3://bucket/prefix or file:///absolute/path, without a slash at the end.
	URI() string
	// Get reads length bytes from offset on, or to the end when length is negative. Where the object ends before, the reader does too. An
	// offset behind the end is an error. The caller closes the reader; ctx covers its reads.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Stat describes one object, or returns ErrNotExist.
	Stat(ctx context.Context, key string) (Object, error)
	// List describes all objects whose key starts with prefix, sorted by key. Nothing there is no error.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Put stores the size bytes of r under key, in place of what was there. Until it returns nil, readers see the old object or none. A
	// reader that is an io.Seeker lets a failed transfer be repeated.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// Delete removes an object. A missing object is no error.
	Delete(ctx context.Context, key string) error
}

// Options say how to reach a bucket. The zero value takes all from the environment. Folders ignore all of it.
type Options struct {
	// Endpoint is the S3 service with its scheme, for example http://127.0.0.1:9000. Empty: AWS_ENDPOINT_URL_S3, else AWS_ENDPOINT_URL, else
	// Amazon's.
	Endpoint string
	// Region is the bucket's region. Empty: AWS_REGION, else AWS_DEFAULT_REGION, else us-east-1.
	Region string
	// AccessKey and SecretKey (with SessionToken for temporary ones) are the credentials. Empty: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
	// AWS_SESSION_TOKEN, else MINIO_ROOT_USER, MINIO_ROOT_PASSWORD; else requests are not signed.
	AccessKey, SecretKey, SessionToken string
	// Retry bounds how long one operation waits for a service that does not answer. The zero value is a sensible default.
	Retry Retry
}

// Open returns the bucket of a URI: s3://bucket/prefix, file:///absolute/path, file://relative/path or a plain path. What follows the
// scheme is taken as it is: nothing is unescaped, so spaces and % are fine. Open does not contact the service; a missing bucket or wrong
// credentials show at the first operation.
func Open(_ context.Context, uri string, o Options) (Bucket, error) {
	l, err := parse(uri)
	if err != nil {
		return nil, err
	}
	if l.bucket == "" {
		return newFolder(l.path), nil
	}
	b, err := newS3(l, o, stallTimeout)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", uri, err)
	}
	return WithRetry(b, o.Retry), nil
}
