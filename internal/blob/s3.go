package blob

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// partSize cuts large uploads, 16 MiB a part: Put holds one part in memory.
const partSize = 16 << 20

// s3 is a Bucket under a prefix of an S3 bucket. Each method is one attempt; WithRetry repeats.
type s3 struct {
	core     *minio.Core
	at       location
	endpoint string
	signed   bool
	stall    time.Duration // how long a connection may stand still
}

// newS3 makes no request. stall is how long a connection may stand still.
func newS3(at location, o Options, stall time.Duration) (*s3, error) {
	endpoint := cmp.Or(o.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	u, err := url.Parse(endpoint)
	if err == nil && u.User != nil {
		return nil, fmt.Errorf("%w: an endpoint of S3 holds no credentials; write http://host:port or https://host, and give them apart", ErrURI)
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: the endpoint is %q; write http://host:port or https://host (flag, job file or AWS_ENDPOINT_URL_S3)", ErrURI, endpoint)
	}
	creds, err := credentialsOf(o)
	if err != nil {
		return nil, err
	}
	if err := s3utils.CheckValidBucketName(at.bucket); err != nil {
		return nil, fmt.Errorf("%w: the bucket is %q: %s", ErrURI, at.bucket, err.Error())
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:  credentials.New(&credentials.Static{Value: creds}),
		Secure: u.Scheme == "https",
		// A given region saves a request for the bucket's location, which needs a permission of its own.
		Region:       cmp.Or(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		BucketLookup: minio.BucketLookupPath,
		Transport:    advised{newTransport(stall)},
		MaxRetries:   1, // WithRetry repeats, within one budget
	})
	if err != nil {
		return nil, fmt.Errorf("%w: endpoint %s: %w", ErrURI, endpoint, err)
	}
	return &s3{core: &minio.Core{Client: client}, at: at, endpoint: endpoint, signed: creds.AccessKeyID != "", stall: stall}, nil
}

// credentialsOf are the explicit ones, else the first whole pair of the environment, else none.
func credentialsOf(o Options) (credentials.Value, error) {
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return credentials.Value{}, fmt.Errorf("%w: one of access key and secret key is given without the other", ErrDenied)
	}
	for _, v := range []credentials.Value{
		{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey, SessionToken: o.SessionToken},
		{
			AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		},
		{AccessKeyID: os.Getenv("MINIO_ROOT_USER"), SecretAccessKey: os.Getenv("MINIO_ROOT_PASSWORD")},
	} {
		if v.AccessKeyID != "" && v.SecretAccessKey != "" {
			v.SignerType = credentials.SignatureV4
			return v, nil
		}
	}
	return credentials.Value{SignerType: credentials.SignatureAnonymous}, nil
}

func (s *s3) URI() string { return s.at.String() }

// name is a key's name in the S3 bucket.
func (s *s3) name(key string) string {
	if s.at.path == "" {
		return key
	}
	return s.at.path + "/" + key
}

func (s *s3) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	ctx = withAdvice(ctx)
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("get in %s: %w", s.URI(), err)
	}
	if offset < 0 {
		return nil, fmt.Errorf("get %s: %w: byte %d", Join(s.URI(), key), ErrRange, offset)
	}
	if length == 0 {
		if _, err := s.Stat(ctx, key); err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader("")), nil
	}
	var opts minio.GetObjectOptions
	switch {
	case length > 0:
		if err := opts.SetRange(offset, offset+length-1); err != nil {
			return nil, s.fail(ctx, "get", key, err)
		}
	case offset > 0:
		if err := opts.SetRange(offset, 0); err != nil {
			return nil, s.fail(ctx, "get", key, err)
		}
	}
	body, _, _, err := s.core.GetObject(ctx, s.at.bucket, s.name(key), opts)
	if minio.ToErrorResponse(err).Code == "InvalidRange" && offset == 0 {
		return io.NopCloser(strings.NewReader("")), nil // the object is empty
	}
	if err != nil {
		return nil, s.fail(ctx, "get", key, err)
	}
	return &s3Reader{ReadCloser: &paced{ReadCloser: body, over: s.stall}, ctx: ctx, s3: s, key: key}, nil
}

// s3Reader names the object in the errors of a transfer.
type s3Reader struct {
	io.ReadCloser
	ctx context.Context
	s3  *s3
	key string
}

func (r *s3Reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.s3.fail(r.ctx, "get", r.key, err)
	}
	return n, err
}

func (s *s3) Stat(ctx context.Context, key string) (Object, error) {
	ctx = withAdvice(ctx)
	if err := checkKey(key); err != nil {
		return Object{}, fmt.Errorf("stat in %s: %w", s.URI(), err)
	}
	info, err := s.core.StatObject(ctx, s.at.bucket, s.name(key), minio.StatObjectOptions{})
	if err == nil {
		return s3Object(key, info), nil
	}
	failure := s.fail(ctx, "stat", key, err)
	// The answer to HEAD has no body: a 404 may mean the bucket.
	if errors.Is(failure, ErrNotExist) {
		if there, err := s.core.BucketExists(ctx, s.at.bucket); err == nil && !there {
			return Object{}, s.fail(ctx, "stat", key, minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: 404})
		}
	}
	return Object{}, failure
}

func s3Object(key string, info minio.ObjectInfo) Object {
	tag := strings.Trim(info.ETag, `"`)
	o := Object{Key: key, Size: info.Size, Version: tag, Modified: info.LastModified}
	if sum, err := hex.DecodeString(tag); err == nil && len(sum) == md5.Size {
		o.MD5 = tag // the tag of an object that was put in parts ends in their number
	}
	return o
}

func (s *s3) List(ctx context.Context, prefix string) ([]Object, error) {
	ctx = withAdvice(ctx)
	base := s.name("")
	var found []Object
	// The iterator ends its goroutine when ctx does.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range s.core.ListObjectsIter(ctx, s.at.bucket, minio.ListObjectsOptions{Prefix: base + prefix, Recursive: true}) {
		if info.Err != nil {
			return nil, s.fail(ctx, "list", prefix, info.Err)
		}
		key := strings.TrimPrefix(info.Key, base)
		if checkKey(key) != nil { // such as the empty "folder/" objects that web consoles make
			continue
		}
		found = append(found, s3Object(key, info))
	}
	if ctx.Err() != nil {
		return nil, s.fail(ctx, "list", prefix, ctx.Err())
	}
	return found, nil
}

func (s *s3) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	ctx = withAdvice(ctx)
	if err := checkKey(key); err != nil {
		return fmt.Errorf("put in %s: %w", s.URI(), err)
	}
	// The client would use and even close what the reader can do beyond reading; a plain reader of exactly size bytes stays ours.
	body := &exactReader{r: r, left: size}
	_, err := s.core.Client.PutObject(ctx, s.at.bucket, s.name(key), body, size, minio.PutObjectOptions{PartSize: partSize})
	if sourceErr := body.detach(); sourceErr != nil {
		err = sourceErr
	}
	if err != nil {
		return s.fail(ctx, "put", key, err)
	}
	return nil
}

// exactReader reads left bytes of r and remembers why it could not.
type exactReader struct {
	mu   sync.Mutex
	r    io.Reader // nil once detached
	left int64
	err  error
}

func (e *exactReader) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.r == nil {
		return 0, io.ErrClosedPipe
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	switch {
	case err == io.EOF && e.left > 0:
		e.err = &sourceError{fmt.Errorf("%d bytes missing: %w", e.left, io.ErrUnexpectedEOF)}
		return n, e.err
	case err != nil && err != io.EOF:
		e.err = &sourceError{err}
		return n, e.err
	}
	return n, err
}

// detach takes the source away: the HTTP client may still be sending when the service has already answered with an error. It returns the
// source's own failure, if any.
func (e *exactReader) detach() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.r = nil
	return e.err
}

// sourceError is a failure of what is to be stored, not of the service.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

func (s *s3) Delete(ctx context.Context, key string) error {
	ctx = withAdvice(ctx)
	if err := checkKey(key); err != nil {
		return fmt.Errorf("delete in %s: %w", s.URI(), err)
	}
	err := s.core.RemoveObject(ctx, s.at.bucket, s.name(key), minio.RemoveObjectOptions{})
	if err == nil {
		return nil
	}
	if failure := s.fail(ctx, "delete", key, err); !errors.Is(failure, ErrNotExist) {
		return failure
	}
	return nil
}
