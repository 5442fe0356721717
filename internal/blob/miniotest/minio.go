// Package miniotest runs a real MinIO server for tests.
package miniotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
)

// Credentials of every server that Start starts.
const (
	AccessKey = "sslctl-test"
	SecretKey = "sslctl-test-secret"
)

// Server is a running MinIO process. It ends with the test that started it.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	Folder   string // a bucket is a folder in it
}

// Options reach the server with its credentials and without repeating failed requests.
func (s *Server) Options() blob.Options {
	return blob.Options{
		Endpoint: s.Endpoint, AccessKey: AccessKey, SecretKey: SecretKey, Retry: blob.Retry{Budget: -1},
	}
}

// Binary is the path of the MinIO server that `make tools` installs. The test fails without it.
func Binary(t testing.TB) string {
	t.Helper()
	tools := os.Getenv("SSLCTL_TOOLS")
	if tools == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatalf("find the tools folder: %v; set SSLCTL_TOOLS", err)
		}
		tools = filepath.Join(home, ".cache", "sslctl-tools")
	}
	path := filepath.Join(tools, "bin", "minio")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the MinIO server is missing: %v; run `make tools`", err)
	}
	return path
}

// Start runs a server on a free port with the given buckets and returns once it answers.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	binary := Binary(t)
	s := &Server{Folder: t.TempDir()}
	for _, b := range buckets { // on a single drive without erasure coding, a folder is a bucket
		if err := os.Mkdir(filepath.Join(s.Folder, b), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var failures []string
	for range 5 { // another process can take the port between its choice and its use
		if failure := s.start(t, binary); failure == "" {
			return s
		} else {
			failures = append(failures, failure)
		}
	}
	t.Fatalf("start %s: %q", binary, failures)
	return nil
}

// start returns what went wrong, or "".
func (s *Server) start(t testing.TB, binary string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var output buffer
	cmd := exec.Command(binary, "server", s.Folder, "--address", address, "--quiet")
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey, "MINIO_BROWSER=off",
		"MINIO_UPDATE=off", "MINIO_CI_CD=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.Endpoint = "http://" + address
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Sprintf("it ended (%v): %s", err, output.String())
		case <-ctx.Done():
			stop()
			t.Fatalf("MinIO was not ready within a minute: %s", output.String())
		case <-tick.C:
		}
		if ready(ctx, s) {
			t.Cleanup(stop)
			return ""
		}
	}
}

// ready reports whether the server tells good keys from bad ones: it answers health checks and signed requests of its own user earlier.
func ready(ctx context.Context, s *Server) bool {
	o := s.Options()
	o.AccessKey = "nobody"
	b, err := blob.Open(ctx, "s3://ready", o)
	if err != nil {
		return false
	}
	_, err = b.List(ctx, "")
	return errors.Is(err, blob.ErrDenied)
}

// buffer collects a process's output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
