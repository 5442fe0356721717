package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/coordinator"
)

// TestWorkerReadiness starts a worker before its coordinator, which then comes and goes.
func TestWorkerReadiness(t *testing.T) {
	address := refused(t)
	log := &awaited{text: "serving metrics and health checks", seen: make(chan struct{})}
	g := &globals{err: log, addresses: []string{address}, timeout: time.Second, logFormat: "json"}
	g.screen = &screen{w: g.err}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- runWorker(ctx, g, workerOptions{id: "w1", httpListen: "127.0.0.1:0", pprof: true})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	<-log.seen
	url := "http://" + regexp.MustCompile(`"on":"([^"]+)"`).FindStringSubmatch(log.String())[1]
	limit := time.After(time.Minute)
	await := func(path string, status int, text string) {
		t.Helper()
		for {
			res, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == status && strings.Contains(string(body), text) {
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-limit:
				t.Fatalf("%s: %s %s, waited for %d and %q", path, res.Status, body, status, text)
			}
		}
	}
	await("/readyz", http.StatusServiceUnavailable, "register: no coordinator answers: "+address+": connect: connection refused")
	await("/healthz", http.StatusOK, "ok")
	await("/metrics", http.StatusOK, `sslctl_worker_registered{worker="w1"} 0`)
	await("/debug/pprof/", http.StatusOK, "goroutine")
	node, err := coordinator.Start(coordinator.Config{
		ID: "c", Listen: address, DataDir: t.TempDir(), NATSURLs: func() []string { return []string{"nats://" + refused(t)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	await("/readyz", http.StatusOK, "ok")
	await("/metrics", http.StatusOK, `sslctl_worker_registered{worker="w1"} 1`)
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	await("/readyz", http.StatusServiceUnavailable, "send a heartbeat: no coordinator answers: "+address)
}

func TestHTTPPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, file := tinyJob(t, "1")
	for name, args := range map[string][]string{
		"worker": {"worker", "--id", "w1", "--addr", refused(t)}, "up": {"up", file, "--dir", t.TempDir(), "--coordinators", "1", "--workers", "1"},
	} {
		code, stdout, stderr := sslctl("", append(args, "--http-listen", l.Addr().String())...)
		if code == 0 || stdout != "" || strings.Count(stderr, "sslctl: ") != 1 || !strings.Contains(stderr, "address already in use; choose another --http-listen, or port 0 for any") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, stdout, stderr)
		}
	}
}
