package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// stallTimeout is how long a connection may go without a byte in either direction before it counts as broken. It bounds every wait for
// a service that froze.
const stallTimeout = 30 * time.Second

// leastRate is how many bytes a second a transfer brings that is not given up for slow, measured over stallTimeout. A connection below it
// is as good as broken: a shard would take days, and another connection often fares better.
const leastRate = 4 << 10

// newTransport is an HTTP transport in which no wait is without end.
func newTransport(stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &stallingConn{Conn: c, timeout: stall}, nil
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       stall,
		MaxIdleConnsPerHost:   64, // a worker reads many ranges of one service at once
		DisableCompression:    true,
	}
}

// stallingConn is a connection whose reads and writes fail after a time without progress.
type stallingConn struct {
	net.Conn
	timeout time.Duration
}

// extend moves both deadlines: while a request is being sent, the reader that awaits its answer is not stalled.
func (c *stallingConn) extend() error { return c.SetDeadline(time.Now().Add(c.timeout)) }

func (c *stallingConn) Read(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *stallingConn) Write(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// paced is the body of a transfer that fails when it is slower than leastRate. Only time spent waiting for bytes counts: who reads may
// have other things to do.
type paced struct {
	io.ReadCloser
	over   time.Duration // which the rate is measured over
	waited time.Duration // in the present measurement
	came   int64         // bytes in it
}

// errSlow is the failure of a transfer that brings too little.
var errSlow = errors.New("the transfer is too slow")

func (p *paced) Read(b []byte) (int, error) {
	begin := time.Now()
	n, err := p.ReadCloser.Read(b)
	p.waited += time.Since(begin)
	p.came += int64(n)
	if p.waited < p.over {
		return n, err
	}
	rate := float64(p.came) / p.waited.Seconds()
	if err == nil && rate < leastRate {
		return n, fmt.Errorf("%w: %.0f bytes a second came over %v, less than %d", errSlow, rate, p.waited.Round(time.Second), leastRate)
	}
	p.waited, p.came = 0, 0
	return n, err
}

// advised is the transport of a service that may say when to come back.
type advised struct{ http.RoundTripper }

// adviceKey is the key under which a request's context holds where to put that.
type adviceKey struct{}

// withAdvice lets advised leave its word in ctx.
func withAdvice(ctx context.Context) context.Context {
	return context.WithValue(ctx, adviceKey{}, new(atomic.Int64))
}

// adviceIn is what advised has left in ctx: how long to wait, 0 if nothing was said.
func adviceIn(ctx context.Context) time.Duration {
	if told, ok := ctx.Value(adviceKey{}).(*atomic.Int64); ok {
		return time.Duration(told.Load())
	}
	return 0
}

func (a advised) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.RoundTripper.RoundTrip(r)
	told, ok := r.Context().Value(adviceKey{}).(*atomic.Int64)
	if err == nil && ok {
		told.Store(int64(retryAfterOf(response, time.Now())))
	}
	return response, err
}

// retryAfterOf reads the header Retry-After, which is in seconds or a date (RFC 9110, 10.2.3).
func retryAfterOf(r *http.Response, now time.Time) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(date.Sub(now).Round(time.Second), 0)
	}
	return 0
}
