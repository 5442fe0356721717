package coordinator

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// preamble is the first byte of a Raft connection. HTTP begins with a letter, TLS with 0x16.
const preamble = 0xF5

// sniffWithin bounds how long an accepted connection may take to say what it is.
const sniffWithin = 10 * time.Second

// mux shares one listener between Raft and HTTP by the first byte of each connection.
type mux struct {
	ln    net.Listener
	log   *zap.Logger
	greet func(net.Conn) error // answers a Raft peer's greeting
	http  *queue
	raft  *queue

	mu     sync.Mutex
	open   map[net.Conn]bool // being sniffed, or Raft's
	closed bool
	wg     sync.WaitGroup
}

func newMux(ln net.Listener, greet func(net.Conn) error, log *zap.Logger) *mux {
	return &mux{ln: ln, log: log, greet: greet, http: newQueue(ln.Addr()), raft: newQueue(ln.Addr()), open: map[net.Conn]bool{}}
}

// serve accepts connections until the listener fails or is closed; close makes it return nil.
func (m *mux) serve() error {
	for {
		conn, err := m.ln.Accept()
		if err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.closed {
				return nil
			}
			return fmt.Errorf("accept connections on %s: %w", m.ln.Addr(), err)
		}
		if !m.track(conn) {
			conn.Close()
			continue
		}
		go func() {
			defer m.wg.Done()
			m.sniff(conn)
		}()
	}
}

// track notes a connection and one goroutine that works on it; false once the mux is closed.
func (m *mux) track(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.open[conn] = true
	m.wg.Add(1)
	return true
}

func (m *mux) untrack(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, conn)
}

func (m *mux) sniff(conn net.Conn) {
	var first [1]byte
	conn.SetDeadline(time.Now().Add(sniffWithin))
	if _, err := conn.Read(first[:]); err != nil {
		m.untrack(conn)
		conn.Close()
		return
	}
	if first[0] != preamble {
		conn.SetDeadline(time.Time{})
		m.untrack(conn) // the HTTP server closes it
		m.http.put(&sniffed{Conn: conn, first: first[:]})
		return
	}
	if err := m.greet(conn); err != nil {
		m.log.Warn("refused a coordinator that called", zap.Stringer("from", conn.RemoteAddr()), zap.Error(err))
		m.untrack(conn)
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	m.wg.Add(1) // until Raft closes it
	m.raft.put(&tracked{Conn: conn, gone: func() {
		m.untrack(conn)
		m.wg.Done()
	}})
}

// close closes the listener and every connection but HTTP's, and waits for the goroutines that have one. Raft must have been shut down.
func (m *mux) close() {
	m.mu.Lock()
	m.closed = true
	open := make([]net.Conn, 0, len(m.open))
	for conn := range m.open {
		open = append(open, conn)
	}
	m.mu.Unlock()
	m.ln.Close()
	for _, conn := range open {
		conn.Close()
	}
	m.http.Close()
	m.raft.Close()
	m.wg.Wait()
}

// sniffed is a connection whose first byte was read already.
type sniffed struct {
	net.Conn
	first []byte
}

func (c *sniffed) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// tracked is a connection that tells when it is closed.
type tracked struct {
	net.Conn
	gone func()
	once sync.Once
}

func (c *tracked) Close() error {
	c.once.Do(c.gone)
	return c.Conn.Close()
}

// queue is a net.Listener of connections that someone else has accepted.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		conn.Close()
	}
}

// Accept waits for the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, fmt.Errorf("accept on %s: %w", q.addr, net.ErrClosed)
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr is the address of the shared listener.
func (q *queue) Addr() net.Addr { return q.addr }

// listenError says in one sentence why an address cannot be listened on.
func listenError(addr string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return fmt.Errorf("%w: cannot listen on %s: %w; choose another address, or end the process that has it", ErrConfig, addr, err)
}
