// Package ports hands out loopback addresses for processes that tests start.
package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports are taken from below the range from which systems pick ports for outgoing connections (from 32768 on Linux, 49152 elsewhere): one of those could be
// taken between the check and the process's start.
const (
	lowest = 20000
	count  = 12000
)

// next is where the search goes on. Test processes that run side by side begin in different places.
var next atomic.Int64

func init() { next.Store(int64(os.Getpid()) * 199) }

// Free is a loopback address, host:port, where nobody listens. It gives no address twice until all have been given.
func Free() (string, error) {
	for range count {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+next.Add(1)%count)
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("find a free port: all are taken")
}
