package bus

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// ErrUnreachable is returned when none of the servers let the client in.
var ErrUnreachable = errors.New("cannot reach the message bus")

// ErrAddress is returned for what is no address of a NATS server.
var ErrAddress = errors.New("bad address of a NATS server")

const (
	// connectWithin bounds Connect when its context has no deadline of its own.
	connectWithin = 10 * time.Second
	// reconnectWait is the pause after all known servers were tried in vain. It is short: ranks wait for each other meanwhile.
	reconnectWait   = 50 * time.Millisecond
	reconnectJitter = 50 * time.Millisecond
	dialWithin      = time.Second
	// A server's host that vanished without closing its connections is noticed after pingsOutstanding+1 unanswered pings.
	pingInterval     = time.Second
	pingsOutstanding = 2
	// sayEvery is the time between two words on what is waited for.
	sayEvery = 2 * time.Second
	// writeWithin is how long one write to a server that does not read may block before the connection is given up.
	writeWithin = 5 * time.Second
)

// Check finds the first of urls that is no address of a NATS server.
func Check(urls []string) error {
	for _, u := range urls {
		if parsed, err := url.Parse(u); err != nil || parsed.Host == "" {
			return fmt.Errorf("%w: %q; expected nats://host:port", ErrAddress, redact(u))
		}
	}
	return nil
}

// Connect returns a client connection to the first of urls ("nats://host:port") that lets it in, trying all of them in turn until ctx
// ends (10 s if ctx has no deadline). The connection learns the other servers of the cluster, and reconnects for ever to any of them,
// taking its subscriptions along; what is published meanwhile is not promised to arrive. name is what the server's monitoring shows.
// The caller closes the connection with Close. The error wraps ErrUnreachable and says what was wrong with each address. waiting, unless
// it is nil, is told the same after the first round of attempts and every now and then after it. more are options of nats.go beside those
// that every connection has.
func Connect(ctx context.Context, urls []string, name string, logger *zap.Logger, waiting func(error), more ...nats.Option) (*nats.Conn, error) {
	if logger == nil {
		logger = zap.NewNop()
	}
	logger = logger.Named("bus")
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: no address given; expected at least one nats://host:port", ErrUnreachable)
	}
	if err := Check(urls); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectWithin)
		defer cancel()
	}
	start, said := time.Now(), time.Time{}
	failures := make([]error, len(urls))
	for {
		for i := range urls {
			conn, err := connectFirst(urls, i, name, logger, more)
			if err == nil {
				logger.Debug("connected", zap.String("server", conn.ConnectedUrlRedacted()), zap.String("client", name))
				return conn, nil
			}
			failures[i] = err
			if errors.Is(err, nats.ErrAuthorization) || ctx.Err() != nil {
				return nil, unreachable(urls, failures, time.Since(start), ctx.Err())
			}
		}
		if waiting != nil && time.Since(said) >= sayEvery {
			said = time.Now()
			waiting(unreachable(urls, failures, time.Since(start), nil))
		}
		select {
		case <-ctx.Done():
			return nil, unreachable(urls, failures, time.Since(start), ctx.Err())
		case <-time.After(reconnectWait):
		}
	}
}

// Conn is a client's connection.
type Conn = nats.Conn

// Encrypted says whether a connection is over TLS.
func Encrypted(conn *Conn) bool {
	_, err := conn.TLSConnectionState()
	return err == nil
}

// Close sends what is still buffered, lets subscriptions finish what they have received, and closes the connection: at once if there is
// no server to send to, and after the given time in any case.
func Close(conn *nats.Conn, within time.Duration) error {
	defer conn.Close()
	if !conn.IsConnected() {
		return nil
	}
	closed := conn.StatusChanged(nats.CLOSED)
	if err := conn.Drain(); err != nil {
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionReconnecting) {
			return nil
		}
		return fmt.Errorf("closing the connection to %s: %w", conn.ConnectedUrlRedacted(), err)
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-closed:
		return nil
	case <-limit.C:
		return fmt.Errorf("closing the connection to %s: still not drained after %s; closed anyway", conn.ConnectedUrlRedacted(), within)
	}
}

// connectFirst connects to urls[first] with the others in the pool for reconnects. The library names no reason when it walks several
// addresses, so the one address is tried alone before.
func connectFirst(urls []string, first int, name string, logger *zap.Logger, more []nats.Option) (*nats.Conn, error) {
	probe, err := nats.Connect(urls[first], nats.Name(name), nats.Timeout(dialWithin), nats.NoReconnect())
	if errors.Is(err, nats.ErrNoServers) {
		// This is how the library reports that nobody listens there.
		return nil, errors.New("connection refused")
	}
	if err != nil {
		return nil, err
	}
	probe.Close()
	pool := append(append([]string{urls[first]}, urls[first+1:]...), urls[:first]...)
	return nats.Connect(strings.Join(pool, ","), append([]nats.Option{
		nats.Name(name),
		nats.Timeout(dialWithin),
		nats.DontRandomize(),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOutstanding),
		nats.FlusherTimeout(writeWithin),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			logger.Debug("reconnect attempt failed", zap.String("client", name), zap.Error(err))
		}),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if c.IsClosed() {
				return // by us: there is nothing to try
			}
			logger.Warn("disconnected, trying other servers", zap.String("client", name), zap.Error(err))
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			logger.Info("reconnected", zap.String("client", name), zap.String("server", c.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			logger.Warn("message bus error", zap.String("client", name), zap.String("subject", subject), zap.Error(err))
		}),
	}, more...)...)
}

func unreachable(urls []string, failures []error, waited time.Duration, ended error) error {
	parts := make([]string, len(urls))
	for i, u := range urls {
		reason := "not tried"
		if failures[i] != nil {
			reason = failures[i].Error()
		}
		parts[i] = fmt.Sprintf("%s (%s)", redact(u), reason)
	}
	message := fmt.Sprintf("tried %s for %s; check that a NATS server listens there and that this machine may reach it",
		strings.Join(parts, ", "), waited.Round(time.Millisecond))
	return fmt.Errorf("%w: %w", ErrUnreachable, &attempts{message, append(failures, ended)})
}

// attempts is one sentence about several failures that errors.Is can still tell apart.
type attempts struct {
	message string
	causes  []error
}

func (a *attempts) Error() string { return a.message }

// Unwrap lists the failures; errors.Is passes over those that are nil.
func (a *attempts) Unwrap() []error { return a.causes }

// Redact hides what is secret in addresses of servers, for logs and for people: a password, or a token in a user's place.
func Redact(addresses []string) []string {
	shown := make([]string, len(addresses))
	for i, a := range addresses {
		shown[i] = redact(a)
	}
	return shown
}

func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unreadable address)"
	}
	if _, hasPassword := u.User.Password(); u.User != nil && !hasPassword {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}
