package coordinator

import (
	"sync"

	"github.com/hashicorp/raft"
)

// gate counts who is inside, until it is closed.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

// enter is false once the gate is closed; otherwise leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

// close lets nobody in any more, and waits until all have left.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}

// settle asks Raft for something and waits for it. An entry that is committed while Raft shuts down may never be applied, and who waits for
// it would do so for ever; so Close waits for those who are inside before, and nobody comes in after that. Without a majority Raft lets
// them go when the leader's lease ends.
func (n *Node) settle(ask func() raft.Future) error {
	if !n.futures.enter() {
		return ErrClosed
	}
	defer n.futures.leave()
	return ask().Error()
}
