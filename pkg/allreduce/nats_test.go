package allreduce_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

// natsCluster starts n embedded servers, clustered if there are several, and returns them when all routes are up.
func natsCluster(t testing.TB, n int, edit func(*server.Options)) []*server.Server {
	t.Helper()
	var servers []*server.Server
	for i := range n {
		o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, ServerName: fmt.Sprintf("s%d", i), NoSigs: true, NoLog: true, MaxPayload: 8 << 20, MaxPending: 64 << 20}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT}
			if i > 0 {
				o.Routes = []*url.URL{{Scheme: "nats", Host: servers[0].ClusterAddr().String()}}
			}
		}
		if edit != nil {
			edit(o)
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the embedded server is not ready after 10 s")
		}
		servers = append(servers, s)
	}
	return servers
}

func natsConn(t testing.TB, address string) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(address, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var ringNumber atomic.Int64

// natsRing makes the joined groups of ranks that have one connection each; edit and wrap may be nil.
func natsRing(t testing.TB, conns []*nats.Conn, virtualRanks int, edit func(*allreduce.Config), wrap func(rank int, transport allreduce.Transport) allreduce.Transport) []*allreduce.Group {
	t.Helper()
	prefix := fmt.Sprintf("sslctl.test.%d.1", ringNumber.Add(1))
	var groups []*allreduce.Group
	for r, conn := range conns {
		c := allreduce.Config{Rank: r, World: len(conns), VirtualRanks: virtualRanks, JobUID: "1", Generation: 1, DetectWithin: 5 * time.Second}
		if edit != nil {
			edit(&c)
		}
		transport := allreduce.Transport(allreduce.NewNATSTransport(conn, prefix, r))
		if wrap != nil {
			transport = wrap(r, transport)
		}
		g, err := allreduce.NewGroup(c, transport)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	t.Cleanup(func() { allreducetest.CloseAll(t, groups) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := allreducetest.Each(groups, func(g *allreduce.Group) error { return g.Join(ctx) }); err != nil {
		t.Fatal(err)
	}
	return groups
}

func alone(t *testing.T, all [][]float32) map[string][]float32 {
	return results(t, allreducetest.Ring(t, &allreducetest.Network{}, len(all), 1, nil), all)
}

func TestOverAnEmbeddedCluster(t *testing.T) {
	all := vectors(8, 5003, 9)
	want := alone(t, all)
	servers := natsCluster(t, 3, nil)
	for _, w := range []int{2, 3, 5} {
		var conns []*nats.Conn
		for r := range w {
			conns = append(conns, natsConn(t, servers[r%3].ClientURL()))
		}
		groups := natsRing(t, conns, 8, nil, nil)
		got := results(t, groups, all)
		for name := range want {
			equalBits(t, fmt.Sprintf("W=%d %s", w, name), got[name], want[name])
		}
		allreducetest.CloseAll(t, groups)
		for r, c := range conns {
			if n := c.NumSubscriptions(); n != 0 {
				t.Errorf("rank %d has %d subscriptions after Close", r, n)
			}
		}
	}
}

// sendHook calls hook before the at-th frame is sent.
type sendHook struct {
	allreduce.Transport
	sent atomic.Int64
	at   int64
	hook func()
}

func (s *sendHook) Send(to int, frame []byte) error {
	if s.sent.Add(1) == s.at {
		s.hook()
	}
	return s.Transport.Send(to, frame)
}

// The server that a rank uses dies in the middle of a sum. The rank finds another; the sum is right; nobody counts as lost.
func TestServerKilledInMidCollective(t *testing.T) {
	const n = 2_000_000
	all := vectors(3, n, 2)
	one := allreducetest.Ring(t, &allreducetest.Network{}, 3, 1, nil)
	sum, err := one[0].Sum(deadline(t), owned(one[0], all, n))
	if err != nil {
		t.Fatal(err)
	}
	servers := natsCluster(t, 3, nil)
	var conns []*nats.Conn
	for _, s := range servers {
		conns = append(conns, natsConn(t, s.ClientURL()))
	}
	killed := make(chan struct{})
	groups := natsRing(t, conns, 3, func(c *allreduce.Config) { c.FrameBytes, c.WindowBytes = 32<<10, 512<<10 }, func(r int, transport allreduce.Transport) allreduce.Transport {
		if r != 1 {
			return transport
		}
		return &sendHook{Transport: transport, at: 100, hook: func() {
			go func() {
				defer close(killed)
				servers[1].Shutdown()
			}()
		}}
	})
	ctx := deadline(t)
	err = allreducetest.Each(groups, func(g *allreduce.Group) error {
		for step := range uint64(3) {
			g.SetStep(step)
			got, err := g.Sum(ctx, owned(g, all, n))
			if err != nil {
				return err
			}
			equalBits(t, fmt.Sprintf("sum %d", step), got.Float32s(), sum.Float32s())
		}
		return nil
	})
	<-killed
	if err != nil {
		t.Fatal(err)
	}
	s := groups[1].Stats()
	if s.Reconnects == 0 {
		t.Error("the rank's server was not lost in time")
	}
	t.Logf("rank 1: %d frames, %d sent again, rejected %+v", s.FramesSent, s.FramesResent, s.Rejected)
}

func TestConnectionClosedFromOutside(t *testing.T) {
	s := natsCluster(t, 1, nil)[0]
	conns := []*nats.Conn{natsConn(t, s.ClientURL()), natsConn(t, s.ClientURL())}
	groups := natsRing(t, conns, 2, func(c *allreduce.Config) { c.DetectWithin = time.Second }, nil)
	all := vectors(2, 3000, 1)
	conns[0].Close()
	if _, err := groups[0].Sum(deadline(t), owned(groups[0], all, 3000)); !errors.Is(err, allreduce.ErrTransportClosed) {
		t.Errorf("Sum returns %v, want ErrTransportClosed", err)
	}
}

func TestServerWithSmallPayload(t *testing.T) {
	s := natsCluster(t, 1, func(o *server.Options) { o.MaxPayload = 32 << 10 })[0]
	conn := natsConn(t, s.ClientURL())
	_, err := allreduce.NewGroup(allreduce.Config{World: 2, VirtualRanks: 2}, allreduce.NewNATSTransport(conn, "x", 0))
	if !errors.Is(err, allreduce.ErrFrameTooLarge) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("NewGroup returns %v, want ErrFrameTooLarge", err)
	}
}

func TestOverAnExternalServerProcess(t *testing.T) {
	all := vectors(8, 5003, 11)
	want := alone(t, all)
	address := natsProcess(t)
	groups := natsRing(t, []*nats.Conn{natsConn(t, address), natsConn(t, address), natsConn(t, address)}, 8, nil, nil)
	got := results(t, groups, all)
	for name := range want {
		equalBits(t, name, got[name], want[name])
	}
}

// natsProcess starts a nats-server process and returns its address.
func natsProcess(t *testing.T) string {
	t.Helper()
	tools := os.Getenv("SSLCTL_TOOLS")
	if tools == "" {
		tools = filepath.Join(os.Getenv("HOME"), ".cache", "sslctl-tools")
	}
	path := filepath.Join(tools, "bin", "nats-server")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no nats-server program: %v; run make tools", err)
	}
	process := exec.Command(path, "--addr", "127.0.0.1", "--port", "-1")
	output, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(addresses)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if _, address, ok := strings.Cut(lines.Text(), "Listening for client connections on "); ok {
				addresses <- address
			}
		}
	}()
	t.Cleanup(func() {
		process.Process.Kill()
		<-read
		process.Wait()
	})
	select {
	case address, ok := <-addresses:
		if ok {
			return "nats://" + address
		}
		t.Fatalf("%s ended before it listened", path)
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not say where it listens within 20 s", path)
	}
	return ""
}
