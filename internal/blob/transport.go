package blob

import (
	"context"
	"net"
	"net/http"
	"time"
)

// stallTimeout is how long a connection may go without a byte in either direction before it counts as broken. It bounds every wait for
// a service that froze.
const stallTimeout = 30 * time.Second

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
