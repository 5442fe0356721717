package allreduce

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed is returned by a collective of a Group that was closed.
	ErrClosed = errors.New("group closed")
	// ErrBroken is returned by a collective after an earlier one failed half-way: the ranks are no longer at one point. The way on is
	// the next generation.
	ErrBroken = errors.New("group broken by an earlier failure")
	// ErrBusy is returned when two collectives are called at once. All ranks must call the same collectives in the same order.
	ErrBusy = errors.New("another collective is running")
	// ErrNotJoined is returned by a collective that is called before Join.
	ErrNotJoined = errors.New("group not joined")
	// ErrOutOfStep is returned when a neighbour runs another collective than this rank: another kind, size, place in the step or order.
	ErrOutOfStep = errors.New("ranks are not running the same collective")
	// ErrMismatch is returned by Join when a neighbour was configured differently.
	ErrMismatch = errors.New("ranks are configured differently")
	// ErrBound is returned by SumScatter when a value or a sum is outside the promised bound.
	ErrBound = errors.New("value outside the promised bound")
)

// ErrPeerLost is returned (wrapped) by a collective when a neighbour is gone or silent for longer than Config.DetectWithin, or when
// another rank reports so. Match it with errors.As.
type ErrPeerLost struct {
	Rank   int           // who is lost
	By     int           // rank that noticed
	Left   bool          // it said goodbye: closed its Group; it may well be alive
	Ended  bool          // its process has: it closed its connection and takes no new one
	Silent time.Duration // how long nothing was heard from it
	Limit  time.Duration // how long that was tolerated
}

func (e *ErrPeerLost) Error() string {
	if e.Left {
		return fmt.Sprintf("rank %d left the ring (noticed by rank %d)", e.Rank, e.By)
	}
	if e.Ended {
		return fmt.Sprintf("rank %d lost: its process has ended (noticed by rank %d)", e.Rank, e.By)
	}
	return fmt.Sprintf("rank %d lost: rank %d heard neither data nor keepalive from it for %s (limit %s)",
		e.Rank, e.By, e.Silent.Round(time.Millisecond), e.Limit)
}
