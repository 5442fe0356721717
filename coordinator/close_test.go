package coordinator

import (
	"testing"
	"time"
)

// A leader that is stopped in order hands over at once: nobody waits for its silence, which would take a minute here.
func TestALeaderThatClosesHandsOver(t *testing.T) {
	g := newGroup(t, 3)
	leader := g.leader()
	for _, n := range g.nodes {
		c := n.raft.ReloadableConfig()
		c.HeartbeatTimeout, c.ElectionTimeout = 2*patience, 2*patience
		if err := n.raft.ReloadConfig(c); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	delete(g.nodes, leader.cfg.ID)
	submit(t, g.leader(), "after", 2)
	if took := time.Since(start); took > patience {
		t.Errorf("the next leader took %v", took)
	}
}
