package allreduce

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pendingFrames and pendingBytes bound what nats.go holds for a rank that does not read. Both neighbours' windows are far below; what
	// exceeds it is dropped, and sent again by the link.
	pendingFrames = 64 << 10
	pendingBytes  = 64 << 20
	openWithin    = 10 * time.Second
)

// NATSTransport carries frames over core NATS: rank r subscribes to <prefix>.<r>. It uses any connection, shared with whom it may be;
// how that reconnects is the connection's affair.
type NATSTransport struct {
	conn   *nats.Conn
	prefix string
	rank   int

	mu     sync.Mutex
	sub    *nats.Subscription
	closed bool
}

// NewNATSTransport makes the transport of one rank. prefix is a subject that only this generation of this job uses, for example
// "sslctl.<cluster>.<job UID>.<generation>". The connection stays the caller's.
func NewNATSTransport(conn *nats.Conn, prefix string, rank int) *NATSTransport {
	return &NATSTransport{conn: conn, prefix: prefix, rank: rank}
}

// Open subscribes, and returns when the server knows (10 s if ctx has no deadline).
func (t *NATSTransport) Open(ctx context.Context) error {
	sub, err := t.conn.SubscribeSync(t.subject(t.rank))
	if err != nil {
		return fmt.Errorf("subscribing to %s: %w", t.subject(t.rank), err)
	}
	t.mu.Lock()
	t.sub = sub
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return errors.Join(ErrTransportClosed, t.Close())
	}
	if err := sub.SetPendingLimits(pendingFrames, pendingBytes); err != nil {
		return fmt.Errorf("subscribing to %s: %w", sub.Subject, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openWithin)
		defer cancel()
	}
	if err := t.conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("subscribing to %s: the server did not confirm: %w", sub.Subject, err)
	}
	return nil
}

// Send publishes a frame. While the connection is down it refuses at once: the link repeats what matters, and what nats.go would buffer
// for the time after would be out of date.
func (t *NATSTransport) Send(to int, frame []byte) error {
	switch status := t.conn.Status(); status {
	case nats.CONNECTED:
	case nats.CLOSED:
		return ErrTransportClosed
	default:
		return fmt.Errorf("connection is %s", status)
	}
	err := t.conn.Publish(t.subject(to), frame)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: the NATS server %s takes %d bytes; raise its max_payload or lower the frame size",
			ErrFrameTooLarge, t.conn.ConnectedUrlRedacted(), t.conn.MaxPayload())
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("%w: %w", ErrTransportClosed, err)
	}
	return err
}

// Receive waits for the next frame.
func (t *NATSTransport) Receive(ctx context.Context) ([]byte, error) {
	t.mu.Lock()
	sub := t.sub
	t.mu.Unlock()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case err == nil:
			return m.Data, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrSlowConsumer):
			// Said once after frames were dropped; they will come again.
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubscription):
			return nil, fmt.Errorf("%w: %w", ErrTransportClosed, err)
		default:
			return nil, fmt.Errorf("subscription to %s: %w", sub.Subject, err)
		}
	}
}

// Status reports the connection's state.
func (t *NATSTransport) Status() (connected bool, reconnects uint64) {
	return t.conn.IsConnected(), t.conn.Stats().Reconnects
}

// MaxFrame is the server's max_payload.
func (t *NATSTransport) MaxFrame() int { return int(t.conn.MaxPayload()) }

// Close ends the subscription.
func (t *NATSTransport) Close() error {
	t.mu.Lock()
	sub := t.sub
	t.sub, t.closed = nil, true
	t.mu.Unlock()
	if sub == nil {
		return nil
	}
	err := sub.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil // ended already
	}
	return err
}

func (t *NATSTransport) subject(rank int) string { return t.prefix + "." + strconv.Itoa(rank) }
