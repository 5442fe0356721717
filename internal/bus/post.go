package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// postQueue is how many messages a Post keeps until they are sent: what is logged while the bus is away for a moment.
	postQueue = 2048
	// postRetry is the pause after all addresses of the bus were tried in vain.
	postRetry = 200 * time.Millisecond
	// postFlush is how long the last messages may take to leave.
	postFlush = time.Second
)

// Post sends and receives messages that nobody waits for: each arrives once or never. It is good from the start, before the bus is
// reachable: it connects by itself, and keeps trying.
type Post struct {
	name   string
	urls   func() []string
	log    *zap.Logger
	queue  chan letter
	lost   atomic.Uint64     // messages that were dropped
	onLoss func()            // is called for each
	topic  string            // "" if nothing is received
	handle func(data []byte) // called by one goroutine at a time
}

type letter struct {
	subject string
	data    []byte
}

// NewPost makes a Post whose Run has to be called. urls names the servers to try, each time that it connects; name is what the server's
// monitoring shows; onLoss is called for each
// message that had to be dropped.
func NewPost(name string, urls func() []string, onLoss func(), logger *zap.Logger) *Post {
	if logger == nil {
		logger = zap.NewNop()
	}
	return &Post{name: name, urls: urls, onLoss: onLoss, log: logger, queue: make(chan letter, postQueue)}
}

// Receive makes Run call handle with what others send to subjects that topic matches ("*" is one token, ">" all that follow). Messages
// of this Post do not come back to it.
func (p *Post) Receive(topic string, handle func(data []byte)) { p.topic, p.handle = topic, handle }

// Send queues a message; it never blocks. Where the queue is full it drops the message.
func (p *Post) Send(subject string, data []byte) {
	select {
	case p.queue <- letter{subject, data}:
	default:
		p.lose()
	}
}

func (p *Post) lose() {
	p.lost.Add(1)
	p.onLoss()
}

// Lost is how many messages were dropped so far.
func (p *Post) Lost() uint64 { return p.lost.Load() }

// Run connects, sends and receives until ctx ends; what is queued then is sent if the bus is there.
func (p *Post) Run(ctx context.Context) {
	conn := p.connect(ctx)
	if conn == nil {
		return
	}
	defer conn.Close()
	for {
		select {
		case l := <-p.queue:
			p.publish(conn, l)
		case <-ctx.Done():
			p.empty(conn)
			return
		}
	}
}

// connect is nil if ctx ends before the bus is reached.
func (p *Post) connect(ctx context.Context) *nats.Conn {
	for {
		conn, err := p.attempt(ctx)
		if err == nil {
			return conn
		}
		p.log.Debug("the bus cannot be reached yet for logs", zap.Error(err))
		select {
		case <-time.After(postRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Post) attempt(ctx context.Context) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	// The connection's own troubles are told by those whose work it stops.
	conn, err := Connect(ctx, p.urls(), p.name, zap.NewNop(), nil, nats.NoEcho())
	if err != nil || p.topic == "" {
		return conn, err
	}
	if _, err := conn.Subscribe(p.topic, func(m *nats.Msg) { p.handle(m.Data) }); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (p *Post) publish(conn *nats.Conn, l letter) {
	if err := conn.Publish(l.subject, l.data); err != nil { // its buffer for reconnects is full
		p.lose()
	}
}

func (p *Post) empty(conn *nats.Conn) {
	for {
		select {
		case l := <-p.queue:
			p.publish(conn, l)
			continue
		default:
		}
		break
	}
	if err := Close(conn, postFlush); err != nil {
		p.log.Debug("left the bus for logs", zap.Error(err))
	}
}
