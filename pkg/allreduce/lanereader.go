package allreduce

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// reader reads lines and frames from a connection, frames into the place where they stay: what a read brings beyond a frame, the head of
// the next one, is all that is copied.
type reader struct {
	conn  net.Conn
	ahead [4096]byte // read already: ahead[from:to]
	from  int
	to    int
}

var errLongLine = errors.New("a line that does not end")

// line reads up to the next line feed and returns what is before it, without a carriage return. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.ahead[r.from:r.to], '\n'); i >= 0 {
			line := r.ahead[r.from : r.from+i]
			r.from += i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// peek returns the next n bytes without taking them.
func (r *reader) peek(n int) ([]byte, error) {
	for r.to-r.from < n {
		if err := r.more(); err != nil {
			return nil, err
		}
	}
	return r.ahead[r.from : r.from+n], nil
}

// more reads what is there.
func (r *reader) more() error {
	if r.from > 0 {
		r.to = copy(r.ahead[:], r.ahead[r.from:r.to])
		r.from = 0
	}
	if r.to == len(r.ahead) {
		return errLongLine
	}
	n, err := r.conn.Read(r.ahead[r.to:])
	r.to += n
	if n > 0 {
		return nil
	}
	return err
}

// fill reads n bytes into p, which has room for more: reads may run into what follows, which is kept for later.
func (r *reader) fill(p []byte, n int) error {
	have := copy(p[:n], r.ahead[r.from:r.to])
	r.from += have
	if have == n {
		return nil
	}
	// All that was ahead is taken.
	got, err := io.ReadAtLeast(r.conn, p[have:min(len(p), n+len(r.ahead))], n-have)
	if err != nil {
		return err
	}
	r.from, r.to = 0, copy(r.ahead[:], p[n:have+got])
	return nil
}
