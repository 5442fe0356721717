package allreduce

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// This file speaks the part of the NATS client protocol (docs.nats.io, "Client Protocol") that frames need: CONNECT, PUB, SUB, MSG, PING,
// PONG. nats.go copies each message on either side and allocates it; here a frame is published from where it was summed and received
// where it will be.

// natsSubject is where a rank's server publishes for another rank.
func natsSubject(me party, to int) string {
	return fmt.Sprintf("ring.%s.%d.%d", me.Job, me.Generation, to)
}

// greetServer begins a connection to a NATS server.
func greetServer(conn net.Conn, token, name string, more string) (*reader, error) {
	r := &reader{conn: conn}
	if line, err := r.line(); err != nil || !bytes.HasPrefix(line, []byte("INFO ")) {
		return nil, fmt.Errorf("no NATS server answers (%q): %w", line, errors.Join(errMalformed, err))
	}
	options, err := json.Marshal(map[string]any{
		"verbose": false, "pedantic": false, "echo": false, "auth_token": token, "name": name, "lang": "go", "version": "1", "protocol": 1,
	})
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s\r\n%sPING\r\n", options, more); err != nil {
		return nil, err
	}
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return nil, err
		case bytes.Equal(line, []byte("PONG")):
			return r, nil
		case bytes.HasPrefix(line, []byte("-ERR")):
			return nil, fmt.Errorf("the NATS server says %s", line)
		}
	}
}

// natsOutlet publishes frames at a server in this process.
type natsOutlet struct {
	server Server
	me     party
	conn   net.Conn
	wg     sync.WaitGroup

	mu       sync.Mutex
	verbs    map[int]string // "PUB <subject> " for each rank
	attaches map[int]bool
}

func newNATSOutlet(server Server, token string, me party) (*natsOutlet, error) {
	conn, err := server.InProcess()
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS server in this process: %w", err)
	}
	r, err := greetServer(conn, token, "rank "+strconv.Itoa(me.Rank), "")
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to the NATS server in this process: %w", err)
	}
	o := &natsOutlet{server: server, me: me, conn: conn, verbs: map[int]string{}, attaches: map[int]bool{}}
	o.wg.Go(func() { o.answer(r) })
	return o, nil
}

// answer keeps the server content until the connection ends.
func (o *natsOutlet) answer(r *reader) {
	for {
		line, err := r.line()
		if err != nil {
			return
		}
		if bytes.Equal(line, []byte("PING")) {
			o.mu.Lock()
			_, err = o.conn.Write([]byte("PONG\r\n"))
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

func (o *natsOutlet) attached(rank int, on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attaches[rank] = on
}

// send publishes a frame in one write: the verb goes into the room before the frame, the line's end into that behind it.
func (o *natsOutlet) send(to int, b buffer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.attaches[to] {
		return errNotAttached
	}
	verb := o.verbs[to]
	if verb == "" {
		verb = "PUB " + natsSubject(o.me, to) + " "
		o.verbs[to] = verb
	}
	var number [24]byte
	size := append(strconv.AppendInt(number[:0], int64(b.n), 10), "\r\n"...)
	begin := leadBytes - len(verb) - len(size)
	if begin < 0 {
		return fmt.Errorf("%w: subject %q is too long", ErrFrameTooLarge, verb)
	}
	copy(b.raw[begin:], verb)
	copy(b.raw[begin+len(verb):], size)
	copy(b.raw[leadBytes+b.n:], "\r\n")
	_, err := o.conn.Write(b.raw[begin : leadBytes+b.n+2])
	return err
}

func (o *natsOutlet) port() int { return o.server.Port() }

func (o *natsOutlet) close() error {
	err := o.conn.Close()
	o.wg.Wait()
	return err
}

// natsInlet is a subscription at a neighbour's server.
type natsInlet struct {
	net.Conn
	reader *reader
}

// subscribe begins a connection to a natsOutlet's server.
func subscribe(conn net.Conn, token string, me party) (inlet, error) {
	r, err := greetServer(conn, token, "rank "+strconv.Itoa(me.Rank), "SUB "+natsSubject(me, me.Rank)+" 1\r\n")
	if err != nil {
		return nil, err
	}
	return &natsInlet{conn, r}, nil
}

func (i *natsInlet) receive(get func(n int) (buffer, error)) (buffer, error) {
	for {
		line, err := i.reader.line()
		if err != nil {
			return buffer{}, err
		}
		verb, arguments, _ := bytes.Cut(line, []byte{' '})
		switch string(verb) {
		case "MSG":
			n, err := strconv.Atoi(string(arguments[bytes.LastIndexByte(arguments, ' ')+1:]))
			if err != nil || n < 0 {
				return buffer{}, fmt.Errorf("%w: %q", errMalformed, line)
			}
			b, err := get(n)
			if err != nil {
				return buffer{}, err
			}
			if err := i.reader.fill(b.raw[leadBytes:], n+2); err != nil {
				return buffer{}, err
			}
			return b, nil
		case "PING":
			if _, err := i.Conn.Write([]byte("PONG\r\n")); err != nil {
				return buffer{}, err
			}
		case "-ERR":
			return buffer{}, fmt.Errorf("the NATS server says %s", line)
		}
	}
}
