package coordinator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers for names under .test, whose addresses may change.
type nameServer struct {
	mu    sync.Mutex
	hosts map[string]netip.Addr
}

// newNameServer makes this process ask it for names, until the test ends.
func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	s := &nameServer{hosts: map[string]netip.Addr{}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { s.serve(conn) })
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		conn.Close()
		serving.Wait()
	})
	return s
}

func (s *nameServer) set(host, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[host+"."] = netip.MustParseAddr(address)
}

func (s *nameServer) serve(conn net.PacketConn) {
	buffer := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		s.mu.Lock()
		address, known := s.hosts[q.Name.String()]
		s.mu.Unlock()
		m.Response, m.Additionals = true, nil
		switch {
		case !known:
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: address.As4()}}}
		}
		if answer, err := m.Pack(); err == nil {
			conn.WriteTo(answer, from) // who hears nothing asks again
		}
	}
}

// Where addresses are given by name, a node that comes back elsewhere is found there: by Raft, and by the nodes that forward requests to it.
func TestAPeerComesBackAtAnotherAddress(t *testing.T) {
	names := newNameServer(t)
	g := &group{t: t, dirs: map[string]string{}, nodes: map[string]*Node{}, peers: map[string]string{}, log: zaptest.NewLogger(t, zaptest.Level(zapLevel))}
	t.Cleanup(g.stop)
	ports := map[string]string{}
	// at opens a node's port at an address, where its name leads from then on.
	at := func(id, host string) net.Listener {
		ln, err := net.Listen("tcp", net.JoinHostPort(host, ports[id]))
		if err != nil {
			t.Fatal(err)
		}
		names.set(id+".peers.test", host)
		return ln
	}
	start := func(id string, ln net.Listener) {
		n, err := Start(Config{ID: id, Listener: ln, Peers: g.peers, DataDir: g.dirs[id], DetectWithin: 400 * time.Millisecond, Logger: g.log})
		if err != nil {
			t.Fatal(err)
		}
		g.nodes[id] = n
	}
	stop := func(id string) {
		if err := g.nodes[id].Close(); err != nil {
			t.Fatal(err)
		}
		delete(g.nodes, id)
		g.leader()
	}
	listeners := map[string]net.Listener{}
	for i, id := range []string{"a", "b", "c"} {
		ports[id] = "0"
		listeners[id] = at(id, fmt.Sprintf("127.0.1.%d", i+1))
		_, ports[id], _ = net.SplitHostPort(listeners[id].Addr().String())
		g.ids = append(g.ids, id)
		g.dirs[id], g.peers[id] = t.TempDir(), id+".peers.test:"+ports[id]
	}
	for _, id := range g.ids {
		start(id, listeners[id])
	}
	g.leader()
	for i, id := range g.ids {
		stop(id)
		start(id, at(id, fmt.Sprintf("127.0.2.%d", i+1)))
		g.leader()
		// The majority now needs the one that has moved.
		other := g.ids[(i+1)%3]
		stop(other)
		submit(t, g.follower(), "job-"+id, 2)
		start(other, at(other, fmt.Sprintf("127.0.3.%d", i+1)))
		g.leader()
	}
}
