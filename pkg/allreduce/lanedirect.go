package allreduce

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// directOutlet sends frames over TCP as they are. Whoever connects introduces itself with a line; it is answered with one, and then it is
// sent frames.
type directOutlet struct {
	listener   net.Listener
	token      string
	me         party
	neighbours []int
	left       func(rank int) // is told when a neighbour's connection has ended

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[int]net.Conn // of neighbours, by rank
	open  map[net.Conn]bool
	ended bool
}

// introduction is the first line of a connection.
type introduction struct {
	Party party  `json:"party"`
	Token string `json:"token"`
}

const welcome = "welcome"

func newDirectOutlet(listener net.Listener, token string, me party, neighbours []int, left func(rank int)) *directOutlet {
	o := &directOutlet{
		listener: listener, token: token, me: me, neighbours: neighbours, left: left, conns: map[int]net.Conn{}, open: map[net.Conn]bool{},
	}
	o.wg.Go(o.take)
	return o
}

// take lets neighbours in until the listener is closed.
func (o *directOutlet) take() {
	for {
		conn, err := o.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, say
			continue
		}
		o.mu.Lock()
		if o.ended {
			conn.Close()
		} else {
			o.open[conn] = true
			o.wg.Go(func() { o.serve(conn) })
		}
		o.mu.Unlock()
	}
}

// serve lets one neighbour in and waits until it goes.
func (o *directOutlet) serve(conn net.Conn) {
	rank, err := o.admit(conn)
	if err == nil {
		io.Copy(io.Discard, conn) // it says nothing more: the copy ends with the connection
	}
	conn.Close()
	o.mu.Lock()
	delete(o.open, conn)
	current := o.conns[rank] == conn
	if current {
		delete(o.conns, rank)
	}
	o.mu.Unlock()
	if current {
		o.left(rank)
	}
}

// admit checks who connects.
func (o *directOutlet) admit(conn net.Conn) (int, error) {
	conn.SetDeadline(time.Now().Add(dialWithin))
	line, err := (&reader{conn: conn}).line()
	if err != nil {
		return -1, err
	}
	var i introduction
	if err := json.Unmarshal(line, &i); err != nil {
		return -1, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(i.Token), []byte(o.token)) != 1:
		err = errors.New("wrong token")
	case i.Party.Job != o.me.Job || i.Party.Generation != o.me.Generation:
		err = fmt.Errorf("this is generation %d of job %q", o.me.Generation, o.me.Job)
	case !slices.Contains(o.neighbours, i.Party.Rank):
		err = fmt.Errorf("rank %d is no neighbour of rank %d", i.Party.Rank, o.me.Rank)
	}
	if err != nil {
		fmt.Fprintf(conn, "%s\n", err)
		return -1, err
	}
	o.mu.Lock()
	if older := o.conns[i.Party.Rank]; older != nil {
		older.Close()
	}
	o.conns[i.Party.Rank] = conn
	o.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "%s\n", welcome); err != nil {
		return i.Party.Rank, err
	}
	return i.Party.Rank, conn.SetDeadline(time.Time{})
}

// attached is part of outlet: connections tell.
func (o *directOutlet) attached(int, bool) {}

func (o *directOutlet) send(to int, b buffer) error {
	o.mu.Lock()
	conn := o.conns[to]
	o.mu.Unlock()
	if conn == nil {
		return errNotAttached
	}
	conn.SetWriteDeadline(time.Now().Add(writeWithin))
	_, err := conn.Write(b.frame())
	if err != nil {
		conn.Close() // half a frame cannot be gone on with
	}
	return err
}

func (o *directOutlet) port() int { return o.listener.Addr().(*net.TCPAddr).Port }

func (o *directOutlet) close() error {
	err := o.listener.Close()
	o.mu.Lock()
	o.ended = true
	for conn := range o.open {
		conn.Close()
	}
	o.mu.Unlock()
	o.wg.Wait()
	return err
}

// directInlet receives what a directOutlet sends.
type directInlet struct {
	net.Conn
	reader reader
}

// introduce begins a connection to a directOutlet.
func introduce(conn net.Conn, token string, me party) (inlet, error) {
	in := &directInlet{Conn: conn, reader: reader{conn: conn}}
	line, err := json.Marshal(introduction{me, token})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	answer, err := in.reader.line()
	if err != nil {
		return nil, err
	}
	if string(answer) != welcome {
		return nil, fmt.Errorf("refused: %s", answer)
	}
	return in, nil
}

func (i *directInlet) receive(get func(n int) (buffer, error)) (buffer, error) {
	head, err := i.reader.peek(headerBytes)
	if err != nil {
		return buffer{}, err
	}
	if !isFrame(head) {
		return buffer{}, errMalformed // nothing tells where the next one begins
	}
	n := headerBytes + payloadBytes(head)
	b, err := get(n)
	if err != nil {
		return buffer{}, err
	}
	return b, i.reader.fill(b.raw[leadBytes:], n)
}
