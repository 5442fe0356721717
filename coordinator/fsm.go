package coordinator

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/sslctl/sslctl/coordinator/state"
)

// fsm hands committed commands to package state, and nothing else. Readers load the newest State without a lock.
type fsm struct {
	state   atomic.Pointer[state.State]
	applied func(state.Result) // after each command
	broken  func(error)        // when this node can follow the others no longer
}

func newFSM(applied func(state.Result), broken func(error)) *fsm {
	f := &fsm{applied: applied, broken: broken}
	f.state.Store(state.New())
	return f
}

// Apply returns a state.Result.
func (f *fsm) Apply(l *raft.Log) any {
	c, err := state.Decode(l.Data)
	if err != nil {
		err = fmt.Errorf("entry %d of the coordinators' log: %w; this node stops, since it would differ from the others", l.Index, err)
		f.broken(err)
		return state.Result{Err: err}
	}
	next, result := state.Apply(f.state.Load(), l.Index, c)
	f.state.Store(next)
	f.applied(result)
	return result
}

// Snapshot keeps the current State, which never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return frozen{f.state.Load()}, nil }

// Restore replaces the State by a snapshot.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	s, err := state.Read(r)
	if err != nil {
		return err
	}
	f.state.Store(s)
	f.applied(state.Result{})
	return nil
}

type frozen struct{ s *state.State }

// Persist writes the State.
func (f frozen) Persist(sink raft.SnapshotSink) error {
	if err := f.s.Write(sink); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release has nothing to give back.
func (frozen) Release() {}
