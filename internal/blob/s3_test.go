package blob_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

func TestS3ErrorsSayWhatToDo(t *testing.T) {
	server := miniotest.Start(t, "store")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("MINIO_ROOT_USER", "")
	with := func(change func(*blob.Options)) blob.Options {
		o := server.Options()
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		uri   string
		o     blob.Options
		is    error
		parts []string
	}{
		"bucket": {"s3://other/p", server.Options(), blob.ErrNoBucket, []string{"s3://other/p/", server.Endpoint, "create the bucket"}},
		"access key": {"s3://store", with(func(o *blob.Options) { o.AccessKey = "wrong" }), blob.ErrDenied,
			[]string{"InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"}},
		"secret key": {"s3://store", with(func(o *blob.Options) { o.SecretKey = "wrong-secret" }), blob.ErrDenied,
			[]string{"SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"}},
		"no key": {"s3://store", with(func(o *blob.Options) { o.AccessKey, o.SecretKey = "", "" }), blob.ErrDenied,
			[]string{"not signed", "AWS_ACCESS_KEY_ID"}},
		"nobody listens": {"s3://store", with(func(o *blob.Options) { o.Endpoint = "http://127.0.0.1:1" }), blob.ErrUnavailable,
			[]string{"http://127.0.0.1:1", "check that the service runs"}},
		"https for http": {"s3://store", with(func(o *blob.Options) {
			o.Endpoint = strings.Replace(o.Endpoint, "http:", "https:", 1)
		}), nil, []string{"http://"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, c.uri, c.o)
			_, getErr := b.Get(t.Context(), "k", 0, 1)
			_, statErr := b.Stat(t.Context(), "k")
			_, listErr := b.List(t.Context(), "")
			putErr := b.Put(t.Context(), "k", strings.NewReader("1"), 1)
			for op, err := range map[string]error{"get": getErr, "stat": statErr, "list": listErr, "put": putErr} {
				if err == nil || c.is != nil && !errors.Is(err, c.is) || c.is == nil && errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("%s: %v, want %v", op, err, c.is)
					continue
				}
				for _, part := range c.parts {
					if op != "stat" && !strings.Contains(err.Error(), part) { // HEAD tells no more than its status
						t.Errorf("%s: %v; %q is missing", op, err, part)
					}
				}
				if strings.Contains(err.Error(), miniotest.SecretKey) {
					t.Errorf("%s tells the secret: %v", op, err)
				}
			}
		})
	}
}

func TestBucketNameThatCannotExist(t *testing.T) {
	for _, uri := range []string{"s3://x/y", "s3://Under_Score!/y"} {
		if _, err := blob.Open(t.Context(), uri, blob.Options{Endpoint: "http://127.0.0.1:1"}); !errors.Is(err, blob.ErrURI) {
			t.Errorf("%s: %v, want %v at once", uri, err, blob.ErrURI)
		}
	}
}

func TestCredentialsInAnAddressAreNotRepeated(t *testing.T) {
	for uri, endpoint := range map[string]string{"s3://me:hunter2@store/a": "http://127.0.0.1:1", "s3://store/a": "http://me:hunter2@127.0.0.1:1"} {
		_, err := blob.Open(t.Context(), uri, blob.Options{Endpoint: endpoint})
		if !errors.Is(err, blob.ErrURI) || !strings.Contains(err.Error(), "holds no credentials") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s at %s: %v", uri, endpoint, err)
		}
	}
}

func TestEndpointAndCredentialsFromTheEnvironment(t *testing.T) {
	server := miniotest.Start(t, "store")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ENDPOINT_URL_S3", server.Endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", miniotest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", miniotest.SecretKey)
	put(t, open(t, "s3://store/env", blob.Options{}), "k", "1")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("MINIO_ROOT_USER", miniotest.AccessKey)
	t.Setenv("MINIO_ROOT_PASSWORD", miniotest.SecretKey)
	if got := read(t, open(t, "s3://store", blob.Options{}), "env/k", 0, -1); got != "1" {
		t.Errorf("env/k holds %q", got)
	}
}

func TestBadEndpointsAreRefused(t *testing.T) {
	for _, o := range []blob.Options{
		{Endpoint: "localhost:9000"}, {Endpoint: "http://"}, {Endpoint: "ftp://host"}, {Endpoint: "http://host/path"}, {Endpoint: "::"},
	} {
		if _, err := blob.Open(t.Context(), "s3://b", o); !errors.Is(err, blob.ErrURI) || !strings.Contains(err.Error(), "http://host:port") {
			t.Errorf("endpoint %q: %v", o.Endpoint, err)
		}
	}
	if _, err := blob.Open(t.Context(), "s3://b", blob.Options{AccessKey: "a"}); !errors.Is(err, blob.ErrDenied) {
		t.Errorf("half of a key pair: %v", err)
	}
}

// faulty is a proxy that spoils the first n requests whose method matches.
func faulty(t *testing.T, server *miniotest.Server, method string, n int64, spoil func(http.ResponseWriter, *http.Request, http.Handler)) (blob.Options, *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	requests := new(atomic.Int64)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method && requests.Add(1) <= n {
			spoil(w, r, proxy)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	o := server.Options()
	o.Endpoint = front.URL
	o.Retry = blob.Retry{Budget: time.Second, First: time.Millisecond}
	return o, requests
}

func TestS3FaultsAreRetried(t *testing.T) {
	server := miniotest.Start(t, "store")
	contents := strings.Repeat("0123456789", 300_000)
	put(t, open(t, "s3://store", server.Options()), "k", contents)
	unavailable := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	throttled := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte("<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"))
	}
	cut := func(_ http.ResponseWriter, _ *http.Request, _ http.Handler) { panic(http.ErrAbortHandler) }
	cutInside := func(w http.ResponseWriter, r *http.Request, proxy http.Handler) {
		proxy.ServeHTTP(&cutter{ResponseWriter: w, left: 700_000}, r)
	}
	for name, spoil := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"503": unavailable, "throttled": throttled, "connection cut": cut,
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := faulty(t, server, http.MethodGet, 3, spoil)
			if got := read(t, open(t, "s3://store", o), "k", 5, 10); got != "5678901234" {
				t.Errorf("read %q", got)
			}
			o, _ = faulty(t, server, http.MethodGet, 3, spoil)
			if got := keys(t, open(t, "s3://store", o), "k"); len(got) != 1 {
				t.Errorf("listed %q", got)
			}
			o, _ = faulty(t, server, http.MethodPut, 3, spoil)
			put(t, open(t, "s3://store", o), name, contents)
			o, _ = faulty(t, server, http.MethodHead, 3, spoil)
			if s, err := open(t, "s3://store", o).Stat(t.Context(), name); err != nil || s.Size != int64(len(contents)) {
				t.Errorf("Stat = %+v, %v", s, err)
			}
			o, _ = faulty(t, server, http.MethodDelete, 3, spoil)
			if err := open(t, "s3://store", o).Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("cut inside an object", func(t *testing.T) {
		for _, length := range []int64{-1, int64(len(contents)) - 3} {
			o, requests := faulty(t, server, http.MethodGet, 3, cutInside)
			if got := read(t, open(t, "s3://store", o), "k", 3, length); got != contents[3:] {
				t.Errorf("%d bytes differ", len(got))
			}
			if n := requests.Load(); n != 4 {
				t.Errorf("%d requests, want 4: each goes on where the last one broke", n)
			}
		}
	})
	t.Run("Retry-After", func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
			o, requests := faulty(t, server, method, 2, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			var waits []blob.Waiting
			o.Retry.Budget = time.Minute
			o.Retry.Notify = func(w blob.Waiting) { waits = append(waits, w) }
			o.Retry.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			b := open(t, "s3://store", o)
			put(t, b, "after", "1")
			if _, err := b.Stat(t.Context(), "after"); err != nil {
				t.Error(err)
			}
			if got := read(t, b, "after", 0, 1); got != "1" || requests.Load() != 3 {
				t.Errorf("read %q after %d requests", got, requests.Load())
			}
			for _, w := range waits {
				if w.Next != 7*time.Second || !strings.Contains(w.Cause.Error(), "it asks to wait 7s") {
					t.Errorf("%s: waits %v for %v", method, w.Next, w.Cause)
				}
			}
			if len(waits) != 2 {
				t.Errorf("%s: %d waits", method, len(waits))
			}
		}
	})
	t.Run("403 and 404 are final", func(t *testing.T) {
		for status, kind := range map[int]error{http.StatusForbidden: blob.ErrDenied, http.StatusNotFound: blob.ErrNotExist} {
			o, requests := faulty(t, server, http.MethodGet, 1<<40, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(status) })
			if _, err := open(t, "s3://store", o).Get(t.Context(), "k", 0, 1); !errors.Is(err, kind) || requests.Load() != 1 {
				t.Errorf("status %d: %v after %d requests", status, err, requests.Load())
			}
		}
	})
	t.Run("full disk", func(t *testing.T) {
		o, _ := faulty(t, server, http.MethodPut, 1<<40, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = w.Write([]byte("<Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>"))
		})
		if err := open(t, "s3://store", o).Put(t.Context(), "new", strings.NewReader("1"), 1); !errors.Is(err, blob.ErrNoSpace) {
			t.Error(err)
		}
	})
}

// cutter breaks the connection off after some bytes of the answer.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		if f, ok := c.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}
