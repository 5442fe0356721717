package blob

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAFrozenConnectionBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	peer, err := l.Accept() // which never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	s := &stallingConn{Conn: c, timeout: 20 * time.Millisecond}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	chunk := make([]byte, 1<<20)
	for err = nil; err == nil; _, err = s.Write(chunk) { // until the kernel's buffers are full
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	// A break of progress breaks, not the length of a transfer: another byte renews the time.
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Errorf("Read after a byte has come: %v", err)
	}
}

func TestATransferThatFreezesIsUnavailable(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte("01234"))
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	s, err := newS3(location{bucket: "store"}, Options{Endpoint: server.URL, AccessKey: "a", SecretKey: "b"}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "01234" || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "s3://store/k") {
		t.Errorf("read %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownCertificateIsFinal(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of the refused handshake
	server.StartTLS()
	defer server.Close()
	s, err := newS3(location{bucket: "store"}, Options{Endpoint: server.URL, AccessKey: "a", SecretKey: "b"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "k"); errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate is not trusted") {
		t.Error(err)
	}
}

// A body that never stands still but comes far too slowly is a failure with its figures, to be tried on another connection.
func TestATransferThatTricklesIsUnavailable(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
		for tick := time.NewTicker(time.Millisecond); ; {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-release:
				tick.Stop()
				return
			}
		}
	}))
	defer server.Close()
	defer close(release)
	s, err := newS3(location{bucket: "store"}, Options{Endpoint: server.URL, AccessKey: "a", SecretKey: "b"}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "bytes a second came") || !strings.Contains(err.Error(), "check the network") {
		t.Errorf("got %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"7": 7 * time.Second, "Fri, 01 May 2026 12:01:30 GMT": 90 * time.Second, "Fri, 01 May 2026 11:00:00 GMT": 0, "": 0, "soon": 0, "-1": 0,
	} {
		r := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {text}}}
		if got := retryAfterOf(r, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", text, got, want)
		}
		if r.StatusCode = http.StatusOK; retryAfterOf(r, now) != 0 {
			t.Error("an answer that is no refusal asks to wait")
		}
	}
}
