package coordinator

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// getText returns the status and the body of a page of the node.
func getText(t *testing.T, n *Node, path string) (int, string) {
	t.Helper()
	defer closeIdle()
	res, err := http.Get("http://" + n.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A node whose group has no majority works, but is not ready and says why; with the majority it is.
func TestReadyOnceThereIsALeader(t *testing.T) {
	g := newGroup(t, 3)
	g.kill(g.follower())
	g.kill(g.follower())
	var alone *Node
	for _, n := range g.nodes {
		alone = n
	}
	for alone.leader() != "" {
		<-time.After(10 * time.Millisecond)
	}
	status, body := getText(t, alone, "/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "have no leader") || !strings.Contains(body, "call coordinator") {
		t.Errorf("without a majority, /readyz is %d %q", status, body)
	}
	if status, _ := getText(t, alone, "/healthz"); status != http.StatusOK {
		t.Errorf("without a majority, /healthz is %d", status)
	}
	if _, body := getText(t, alone, "/metrics"); !strings.Contains(body, `sslctl_coordinator_ready{coordinator="`+alone.cfg.ID+`"} 0`) || strings.Contains(body, "sslctl_jobs{") {
		t.Errorf("without a majority, /metrics is %s", body)
	}
	g.stop()
	g.start()
	submit(t, g.leader(), "counted", 2)
	g.stop()
	g.start()
	if _, body := getText(t, g.leader(), "/metrics"); strings.Contains(body, `reason="Submitted"`) {
		t.Errorf("after a restart, events of before are counted again: %s", body)
	}
	for _, n := range g.nodes {
		status, body := getText(t, n, "/readyz")
		if status != http.StatusOK || !strings.Contains(body, "leads") {
			t.Errorf("with a leader, /readyz of %s is %d %q", n.cfg.ID, status, body)
		}
	}
	_, body = getText(t, g.leader(), "/metrics")
	for _, want := range []string{"sslctl_raft_leader", "sslctl_coordinator_ready"} {
		if !strings.Contains(body, want+`{coordinator="`+g.leader().cfg.ID+`"} 1`) {
			t.Errorf("with a leader, /metrics lacks %s: %s", want, body)
		}
	}
	// What only the leader knows is shown once.
	if !strings.Contains(body, `sslctl_jobs{coordinator="`) {
		t.Errorf("the leader shows no jobs: %s", body)
	}
	if _, body := getText(t, g.follower(), "/metrics"); strings.Contains(body, "sslctl_jobs{") {
		t.Errorf("a follower shows jobs: %s", body)
	}
}
