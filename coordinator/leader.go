package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/coordinator/planner"
)

// forgetAfter is how long a lost worker without a job stays on the list.
const forgetAfter = 10 * time.Minute

// fruitlessMost is how many generations in a row may commit no step before their job fails.
const fruitlessMost = 5

// lead runs this node's terms as leader, one after another.
func (n *Node) lead() {
	leads := false
	for {
		if leads {
			leads = n.runTerm()
			continue
		}
		select {
		case leads = <-n.raft.LeaderCh():
		case <-n.ctx.Done():
			return
		}
	}
}

// runTerm leads until leadership is lost or the node closes. It tells whether another term has begun already.
func (n *Node) runTerm() bool {
	if err := n.settle(func() raft.Future { return n.raft.Barrier(n.cfg.DetectWithin) }); err != nil { // everything that earlier leaders have acknowledged is applied
		n.log.Debug("leadership lost before it began", zap.Error(err))
		return n.raft.State() == raft.Leader && n.ctx.Err() == nil
	}
	t := newTerm(n.ctx, n.cfg.DetectWithin, time.Now())
	n.log.Info("this coordinator leads")
	n.term.Store(t)
	n.changed.notify()
	defer func() {
		n.term.Store(nil)
		t.end()
		n.changed.notify()
		n.log.Info("this coordinator leads no longer")
	}()
	every := max(n.cfg.DetectWithin/16, 10*time.Millisecond)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case again := <-n.raft.LeaderCh():
			return again
		case <-n.ctx.Done():
			return false
		case <-t.kicked:
		case <-ticker.C:
			if late := time.Since(last) - every; late > every {
				t.excuse(late) // this process stood still; the workers could not be heard
			}
			last = time.Now()
		}
		n.plan(t)
	}
}

// planRounds bounds how often plan goes on at once because its own commands have changed the state.
const planRounds = 16

// plan lets the planner decide until it has nothing more to do.
func (n *Node) plan(t *term) {
	knobs := n.knobs()
	for range planRounds {
		s := n.fsm.state.Load()
		now := time.Now()
		d := planner.Plan(s, t.observe(s, now), knobs, now.UnixMilli())
		n.metrics.PlannerSeconds.Observe(time.Since(now).Seconds())
		n.metrics.PlannerCommands.Add(float64(len(d.Commands)))
		if t.setReasons(d.Reasons) {
			n.changed.notify()
		}
		if len(d.Commands) == 0 {
			return
		}
		for _, c := range d.Commands {
			result, err := n.apply(c)
			if err != nil {
				if !errors.Is(err, raft.ErrLeadershipLost) && !errors.Is(err, raft.ErrNotLeader) && !errors.Is(err, ErrClosed) {
					n.log.Warn("a decision was not committed; it is taken again", zap.Error(err))
				}
				return
			}
			if result.Err != nil { // the state has moved on between
				n.log.Debug("a decision was refused; it is taken again", zap.Error(result.Err))
				t.calm()
				return
			}
		}
	}
}

// followLeader keeps those informed who wait for a leader, and cuts requests that were forwarded to one that leads no longer.
func (n *Node) followLeader() {
	seen := make(chan raft.Observation, 1)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	for {
		_, id := n.raft.LeaderWithID()
		n.proxy.turn(string(id))
		n.changed.notify()
		select {
		case <-seen:
		case <-n.ctx.Done():
			return
		}
	}
}

// awaitTerm waits, no longer than detectWithin, until the group has a leader that can answer: this node (its term) or another (its id).
func (n *Node) awaitTerm(ctx context.Context) (*term, string) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.DetectWithin)
	defer cancel()
	for {
		change := n.changed.next()
		if t := n.term.Load(); t != nil {
			return t, n.cfg.ID
		}
		if id := n.leader(); id != "" && id != n.cfg.ID {
			return nil, id
		}
		select {
		case <-change:
		case <-n.ctx.Done():
			return nil, ""
		case <-ctx.Done():
			return nil, ""
		}
	}
}
