package coordinator

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// silentPeers is what Raft finds out on the leader: which of the other nodes do not answer its heartbeats. A new leader finds out anew.
type silentPeers struct {
	mu   sync.Mutex
	last map[string]time.Time // when a peer that does not answer was last heard
}

// since tells whether a node is silent, and when it was last heard.
func (s *silentPeers) since(id string) (last time.Time, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, silent = s.last[id]
	return last, silent
}

// count is how many nodes are silent.
func (s *silentPeers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.last)
}

// note takes what Raft observes. It is a filter that lets nothing through, since Raft calls filters at once and misses none.
func (s *silentPeers) note(o *raft.Observation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch data := o.Data.(type) {
	case raft.RaftState: // before the first heartbeat of a new leader
		s.last = nil
	case raft.FailedHeartbeatObservation:
		if s.last == nil {
			s.last = map[string]time.Time{}
		}
		s.last[string(data.PeerID)] = data.LastContact
	case raft.ResumedHeartbeatObservation:
		delete(s.last, string(data.PeerID))
	case raft.PeerObservation: // let in or removed: what was known is about another life
		delete(s.last, string(data.Peer.ID))
	}
	return false
}
