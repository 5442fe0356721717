package coordinator

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestSilentPeersFollowTheHeartbeats(t *testing.T) {
	var s silentPeers
	last := time.Now().Add(-3 * time.Second)
	observe := func(data any) {
		if s.note(&raft.Observation{Data: data}) {
			t.Errorf("%T passes the filter; expected nothing to", data)
		}
	}
	expect := func(id string, want bool) {
		t.Helper()
		at, silent := s.since(id)
		if silent != want || silent && !at.Equal(last) {
			t.Errorf("%s: silent %v since %v; expected %v since %v", id, silent, at, want, last)
		}
	}
	expect("b", false)
	observe(raft.FailedHeartbeatObservation{PeerID: "b", LastContact: last})
	expect("b", true)
	expect("c", false)
	observe(raft.ResumedHeartbeatObservation{PeerID: "b"})
	expect("b", false)
	observe(raft.FailedHeartbeatObservation{PeerID: "c", LastContact: last})
	observe(raft.Leader) // what an earlier term has found out may be over
	expect("c", false)
}
