package allreduce

import (
	"context"
	"errors"
	"fmt"
)

// Transport carries frames between the ranks of one generation. It may lose, repeat, reorder and damage frames: the link above repairs
// that. In good times it should keep the order of what one rank sends to another, since a frame out of order is sent again.
type Transport interface {
	// Open returns when frames sent to this rank from now on will reach Receive.
	Open(ctx context.Context) error
	// Send hands a frame to a rank; it does not keep the slice. It is called by one goroutine at a time for each rank, and may block while
	// that rank does not read. Errors other than ErrTransportClosed and ErrFrameTooLarge are taken as a loss that will be made good.
	Send(to int, frame []byte) error
	// Receive waits for the next frame to this rank. The slice is the caller's to write to. An error of type *Ended tells of another rank;
	// frames may come after it.
	Receive(ctx context.Context) ([]byte, error)
	// Status says whether the transport is connected, and how many times it has been re-connected so far.
	Status() (connected bool, reconnects uint64)
	// MaxFrame is the largest frame in bytes that Send takes.
	MaxFrame() int
	// Close ends Receive. What Send took before is still delivered.
	Close() error
}

var (
	// ErrTransportClosed is returned by a Transport that was closed, by Close or from outside.
	ErrTransportClosed = errors.New("transport closed")
	// ErrFrameTooLarge is returned by a Transport for a frame that it can never carry.
	ErrFrameTooLarge = errors.New("frame larger than the transport carries")
)

// Ended is returned by Receive when a rank's process is known to be no more.
type Ended struct{ Rank int }

func (e *Ended) Error() string { return fmt.Sprintf("the process of rank %d has ended", e.Rank) }
