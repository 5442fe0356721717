package coordinator

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sslctl/sslctl/coordinator/state"
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

// Raft forgets who waits for an entry, or for a confirmation that it leads, while it shuts down. Nobody may be waiting then, or Close would
// wait for them.
func TestCloseAmongCommands(t *testing.T) {
	for range 20 {
		n, err := Start(Config{ID: "a", Listener: listen(t), DataDir: t.TempDir(), DetectWithin: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.WaitLeader(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := make(chan struct{})
		var busy sync.WaitGroup
		for worker := range 8 {
			busy.Go(func() {
				for i := 0; ; i++ {
					_, err := n.apply(state.Command{Cordon: &state.Cordoning{Worker: fmt.Sprintf("w%d-%d", worker, i)}})
					if err != nil {
						return
					}
					if worker == 0 && i == 0 {
						close(begun)
					}
				}
			})
		}
		for range 128 {
			busy.Go(func() {
				for {
					if _, _, err := n.current(); err != nil && n.ctx.Err() != nil {
						return
					}
				}
			})
		}
		<-begun
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		busy.Wait()
	}
}
