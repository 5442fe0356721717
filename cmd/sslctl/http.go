package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/telemetry"
	"go.uber.org/zap"
)

func addHTTPFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "http-listen", "", "host:port for /metrics, /healthz and /readyz; port 0 takes a free one (default: not served)")
}

func addPprofFlag(cmd *cobra.Command, on *bool, where string) {
	cmd.Flags().BoolVar(on, "pprof", false, "also serve Go's profiles at /debug/pprof on "+where+"; they show what the process does, so keep that port private")
}

// listen opens the address that a flag names; the error says what to do.
func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if malformed := new(net.AddrError); errors.As(err, &malformed) {
		return nil, &inputError{fmt.Errorf("%s is %q: %s; expected host:port, such as %s", flag, address, malformed.Err, defaultAddress)}
	}
	if err != nil {
		return nil, fmt.Errorf("%w; choose another %s, or port 0 for any", err, flag)
	}
	return l, nil
}

// serveHTTP serves metrics and health checks at --http-listen, unless that is empty, until stop is called.
func serveHTTP(address string, registry *prometheus.Registry, ready func() (string, error), withPprof bool, log *zap.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := listen("--http-listen", address)
	if err != nil {
		return nil, err
	}
	log.Info("serving metrics and health checks", zap.Stringer("on", l.Addr()))
	mux := http.NewServeMux()
	telemetry.Handle(mux, registry, telemetry.Health{Alive: func() error { return nil }, Ready: ready}, withPprof)
	return telemetry.Serve(l, mux, log), nil
}
