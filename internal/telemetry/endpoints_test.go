package telemetry

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// get returns the status and the body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestEndpoints(t *testing.T) {
	reg, _ := everything(t)
	var failure error
	readiness := new(Readiness)
	serve := func(withPprof bool) (url string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		Handle(mux, reg, Health{Alive: func() error { return failure }, Ready: readiness.Ready}, withPprof)
		t.Cleanup(Serve(l, mux, zap.NewNop()))
		return "http://" + l.Addr().String()
	}
	url := serve(false)
	expect := func(path string, status int, text string) {
		t.Helper()
		if got, body := get(t, url+path); got != status || !strings.Contains(body, text) {
			t.Errorf("%s: %d %q, want %d with %q", path, got, body, status, text)
		}
	}
	expect("/metrics", 200, `sslctl_build_info{go_version="go`)
	expect("/healthz", 200, "ok")
	expect("/readyz", 503, "starting")
	readiness.Set("no coordinator answers")
	expect("/readyz", 503, "no coordinator answers")
	readiness.Set("")
	expect("/readyz", 200, "ok")
	failure = errors.New("the disk is gone")
	expect("/healthz", 500, "the disk is gone")
	expect("/debug/pprof/", 404, "")
	url = serve(true)
	expect("/debug/pprof/", 200, "goroutine")
	http.DefaultClient.CloseIdleConnections()
}
