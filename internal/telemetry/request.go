package telemetry

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
	"strings"

	"go.uber.org/zap"
)

// RequestHeader carries the id of a request from the command line through every coordinator that the request passes.
const RequestHeader = "Sslctl-Request-Id"

// requestForm is what an id may look like: it gets into logs and errors.
var requestForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// NewRequestID makes an id for a request.
func NewRequestID() string { return strings.ToLower(rand.Text()[:12]) }

// Request is the field with the id of a request.
func Request(id string) zap.Field { return zap.String("request", id) }

type requestKey struct{}

// WithRequestID makes SendRequestID put id on all requests of ctx.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// SendRequestID is a transport that puts the id of the context on each request; one of its own where the context has none.
func SendRequestID(next http.RoundTripper) http.RoundTripper { return sender{next} }

type sender struct{ http.RoundTripper }

// RoundTrip is part of http.RoundTripper.
func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	id, ok := r.Context().Value(requestKey{}).(string)
	if !ok {
		id = NewRequestID()
	}
	r = r.Clone(r.Context())
	r.Header.Set(RequestHeader, id)
	return s.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (s sender) CloseIdleConnections() {
	if c, ok := s.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// TakeRequestID makes sure that every request that reaches next has an id that can be logged, and that the answer names it.
func TakeRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(RequestHeader)
		if !requestForm.MatchString(id) {
			id = NewRequestID()
			r.Header.Set(RequestHeader, id)
		}
		w.Header().Set(RequestHeader, id)
		next.ServeHTTP(w, r)
	})
}
