package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Health answers for a process: Alive says whether it works (restart it otherwise), Ready whether it can be used now. Both return the text
// for a good answer, or the reason.
type Health struct {
	Alive func() error
	Ready func() (string, error)
}

// Handle adds GET /metrics, /healthz and /readyz to mux, and /debug/pprof if wanted.
func Handle(mux *http.ServeMux, from prometheus.Gatherer, h Health, withPprof bool) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(from, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.Alive(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		text, err := h.Ready()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, text)
	})
	if withPprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
}

const (
	headerWithin = 10 * time.Second // for a client to say what it wants
	closeWithin  = time.Second      // for requests that are being answered when the server ends
)

// Serve answers handler's requests on l until the function that it returns is called, which waits for the end.
func Serve(l net.Listener, handler http.Handler, log *zap.Logger) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerWithin, ErrorLog: zap.NewStdLog(log.Named("http"))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the metrics and health checks are served no longer", zap.Stringer("on", l.Addr()), zap.Error(err))
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			server.Close()
		}
		<-ended
	}
}

// Readiness is whether a process can be used, kept by whoever knows. The zero value is not ready.
type Readiness struct{ reason atomic.Pointer[string] }

// Set says that the process can be used, if why is empty, or why it cannot.
func (r *Readiness) Set(why string) { r.reason.Store(&why) }

// Ready is Health.Ready.
func (r *Readiness) Ready() (string, error) {
	why := r.reason.Load()
	switch {
	case why == nil:
		return "", errors.New("starting")
	case *why != "":
		return "", errors.New(*why)
	}
	return "ok", nil
}
