package allreduce_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

const laneShared = "shared" // no lane: the NATS that all share

var lanes = []string{laneShared, "nats", "direct"}

// ownServer is a rank's own NATS server.
type ownServer struct{ *server.Server }

func (s ownServer) InProcess() (net.Conn, error) { return s.InProcessConn() }
func (s ownServer) Port() int                    { return s.Addr().(*net.TCPAddr).Port }

// laneTransport makes a rank's transport over a lane; edit, if not nil, changes what is offered. shutdown ends what the lane needs.
func laneTransport(lane string, config allreduce.Config, conn *nats.Conn, prefix string, edit func(*allreduce.Lane)) (t allreduce.Transport, shutdown func(), err error) {
	shared := allreduce.NewNATSTransport(conn, prefix, config.Rank)
	shutdown = func() {}
	l := allreduce.Lane{Token: "secret-" + fmt.Sprint(config.Rank), Host: "127.0.0.1"}
	switch lane {
	case laneShared:
		return shared, shutdown, nil
	case "nats":
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Authorization: l.Token})
		if err != nil {
			return nil, nil, err
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			return nil, nil, errors.New("the embedded server is not ready after 10 s")
		}
		l.Server = ownServer{s}
		shutdown = func() {
			s.Shutdown()
			s.WaitForShutdown()
		}
	case "direct":
		if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
	}
	if edit != nil {
		edit(&l)
	}
	t, err = allreduce.NewLaneTransport(config, shared, l)
	return t, shutdown, err
}

// news collects what lanes tell of changes.
type news struct {
	mu    sync.Mutex
	lines []string
}

func (n *news) of(rank int) func(*allreduce.Lane) {
	return func(l *allreduce.Lane) {
		l.Changed = func(to int, straight bool, why error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.lines = append(n.lines, fmt.Sprintf("%d to %d straight %t: %v", rank, to, straight, why))
		}
	}
}

func (n *news) count(part string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(strings.Join(n.lines, "\n"), part)
}

// laneRing makes the joined groups of w ranks over a lane; wrap and edit may be nil.
func laneRing(t *testing.T, lane string, virtualRanks, w int, edit func(rank int, l *allreduce.Lane), wrap func(allreduce.Transport) allreduce.Transport) []*allreduce.Group {
	t.Helper()
	return laneRingOver(t, natsCluster(t, 1, nil)[0].ClientURL(), lane, virtualRanks, w, edit, wrap)
}

// laneRingOver is laneRing over a given NATS for all.
func laneRingOver(t *testing.T, address, lane string, virtualRanks, w int, edit func(rank int, l *allreduce.Lane), wrap func(allreduce.Transport) allreduce.Transport) []*allreduce.Group {
	t.Helper()
	prefix := fmt.Sprintf("sslctl.test.%d.1", ringNumber.Add(1))
	var groups []*allreduce.Group
	for r := range w {
		c := allreduce.Config{Rank: r, World: w, VirtualRanks: virtualRanks, JobUID: "1", Generation: 1, DetectWithin: 5 * time.Second}
		transport, shutdown, err := laneTransport(lane, c, natsConn(t, address), prefix, func(l *allreduce.Lane) {
			if edit != nil {
				edit(r, l)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(shutdown)
		if wrap != nil {
			transport = wrap(transport)
		}
		g, err := allreduce.NewGroup(c, transport)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	t.Cleanup(func() { allreducetest.CloseAll(t, groups) })
	ctx := deadline(t)
	if err := allreducetest.Each(groups, func(g *allreduce.Group) error { return g.Join(ctx) }); err != nil {
		t.Fatal(err)
	}
	return groups
}

func TestSameBitsOverLanes(t *testing.T) {
	all := vectors(8, 50_003, 9)
	want := alone(t, all)
	for _, lane := range lanes[1:] {
		for _, w := range []int{2, 3, 5} {
			t.Run(fmt.Sprintf("%s/W=%d", lane, w), func(t *testing.T) {
				t.Parallel()
				var told news
				groups := laneRing(t, lane, 8, w, func(rank int, l *allreduce.Lane) { told.of(rank)(l) }, nil)
				if n := told.count("straight true"); n != w*min(2, w-1) {
					t.Errorf("after Join the ranks tell %q; want each one to reach its neighbours straight", told.lines)
				}
				got := results(t, groups, all)
				for name := range want {
					equalBits(t, name, got[name], want[name])
				}
				for r, g := range groups {
					if s := g.Stats(); s.Straight != min(2, w-1) {
						t.Errorf("rank %d sends straight to %d neighbours", r, s.Straight)
					} else if s.FramesResent != 0 || s.Rejected.Total() != 0 {
						t.Errorf("rank %d: %d frames sent again, rejected %+v; want none over a sound lane", r, s.FramesResent, s.Rejected)
					}
				}
			})
		}
	}
}

// unsound drops, repeats and swaps frames that are sent over a lane.
type unsound struct {
	allreduce.Transport
	sent atomic.Int64
	mu   sync.Mutex
	late map[int][]byte // held back for a rank until the next frame to it
}

func (u *unsound) Send(to int, frame []byte) error {
	switch n := u.sent.Add(1); {
	case n%17 == 0:
		return nil
	case n%19 == 0:
		if err := u.Transport.Send(to, frame); err != nil {
			return err
		}
	case n%23 == 0:
		u.mu.Lock()
		defer u.mu.Unlock()
		u.late[to] = append([]byte(nil), frame...)
		return nil
	}
	if err := u.Transport.Send(to, frame); err != nil {
		return err
	}
	u.mu.Lock()
	late := u.late[to]
	delete(u.late, to)
	u.mu.Unlock()
	if late == nil {
		return nil
	}
	return u.Transport.Send(to, late)
}

func TestSameBitsOverUnsoundLanes(t *testing.T) {
	all := vectors(8, 60_003, 4)
	want := alone(t, all)
	for _, lane := range lanes[1:] {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			groups := laneRing(t, lane, 8, 3, nil, func(inner allreduce.Transport) allreduce.Transport {
				return &unsound{Transport: inner, late: map[int][]byte{}}
			})
			got := results(t, groups, all)
			for name := range want {
				equalBits(t, name, got[name], want[name])
			}
			resent := uint64(0)
			for _, g := range groups {
				resent += g.Stats().FramesResent
			}
			if resent == 0 {
				t.Error("no frame was sent again; the faults had no effect")
			}
		})
	}
}

// relay passes connections on to a rank, until they are cut.
type relay struct {
	net.Listener
	to    string
	conns chan net.Conn
}

func startRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l, to, make(chan net.Conn, 64)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			r.conns <- in
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					pair[0].(*net.TCPConn).ReadFrom(pair[1])
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.cut()
		wg.Wait()
	})
	return r
}

// cut ends the connections there are, and tells how many.
func (r *relay) cut() (n int) {
	for ; ; n++ {
		select {
		case c := <-r.conns:
			c.Close()
		default:
			return n
		}
	}
}

func (r *relay) Addr() net.Addr { return r.Listener.Addr() }

// behind is a listener that tells others a relay's port.
type behind struct {
	net.Listener
	relay *relay
}

func (b behind) Addr() net.Addr { return b.relay.Addr() }

// relayed is a server that tells others a relay's port.
type relayed struct {
	allreduce.Server
	relay *relay
}

func (r relayed) Port() int { return r.relay.Addr().(*net.TCPAddr).Port }

// Connections that are cut in the middle of a sum cost a while, not the ring: frames take the shared NATS until there are new ones.
func TestCutLane(t *testing.T) {
	all := vectors(3, 1_000_003, 2)
	want := alone(t, all)["Sum"]
	for _, lane := range lanes[1:] {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			var relays []*relay
			groups := laneRing(t, lane, 3, 3, func(rank int, l *allreduce.Lane) {
				if l.Server != nil {
					relays = append(relays, startRelay(t, fmt.Sprintf("127.0.0.1:%d", l.Server.Port())))
					l.Server = relayed{l.Server, relays[rank]}
				} else {
					relays = append(relays, startRelay(t, l.Listener.Addr().String()))
					l.Listener = behind{l.Listener, relays[rank]}
				}
			}, nil)
			ctx, cuts := deadline(t), 0
			err := allreducetest.Each(groups, func(g *allreduce.Group) error {
				for step := range uint64(4) {
					g.SetStep(step)
					if rank, _ := g.Owned(); rank == 1 && step > 0 {
						for _, r := range relays {
							cuts += r.cut()
						}
					}
					got, err := g.Sum(ctx, owned(g, all, len(all[0])))
					if err != nil {
						return err
					}
					equalBits(t, fmt.Sprintf("sum %d", step), got.Float32s(), want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if cuts <= 2*len(relays) {
				t.Errorf("%d connections were cut, no more than there were at first", cuts)
			}
		})
	}
}

// A rank that leaves takes its connections along. Its neighbours lose it; that frames could not go straight to it any more is no news beside that.
func TestWhoLeavesIsNoTroubleOfTheLane(t *testing.T) {
	all := vectors(3, 100_003, 2)
	for _, lane := range lanes[1:] {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			var told news
			groups := laneRing(t, lane, 3, 3, func(rank int, l *allreduce.Lane) { told.of(rank)(l) }, nil)
			ctx := deadline(t)
			err := allreducetest.Each(groups, func(g *allreduce.Group) error {
				if rank, _ := g.Owned(); rank == 2 {
					return g.Abort()
				}
				for {
					if _, err := g.Sum(ctx, owned(g, all, len(all[0]))); err != nil {
						return errors.Join(ctx.Err(), g.Abort())
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if told.count("straight false") != 0 {
				t.Errorf("the ranks tell %q", told.lines)
			}
		})
	}
}

// Neighbours that cannot be reached straight are reached over the shared NATS, and it is said why.
func TestUnreachableLane(t *testing.T) {
	all := vectors(4, 5003, 2)
	want := alone(t, all)
	for _, lane := range lanes[1:] {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			var told news
			groups := laneRing(t, lane, 4, 3, func(rank int, l *allreduce.Lane) {
				told.of(rank)(l)
				if rank == 1 {
					l.Host = "127.0.0.1:1:1" // nothing that can be dialled
				}
			}, nil)
			got := results(t, groups, all)
			for name := range want {
				equalBits(t, name, got[name], want[name])
			}
			for _, to := range []int{0, 2} {
				if told.count(fmt.Sprintf("1 to %d straight false: rank %d cannot connect here", to, to)) != 1 {
					t.Errorf("the ranks tell %q; want rank 1 to say that rank %d cannot connect", told.lines, to)
				}
			}
		})
	}
}

// A rank that finds no outlet of its neighbours, and whose neighbours' frames nobody takes, still closes.
func TestCloseWhileNobodyReceives(t *testing.T) {
	conn := natsConn(t, natsCluster(t, 1, nil)[0].ClientURL())
	config := allreduce.Config{World: 2, VirtualRanks: 2, JobUID: "7", Generation: 4}
	transport, shutdown, err := laneTransport("direct", config, conn, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown()
	if err := transport.Open(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := conn.Publish("x.0", []byte("a frame")); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Receive(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := transport.Close(); err != nil {
		t.Error(err)
	}
}

// A ring whose neighbours reach each other straight goes on when the NATS that all share is gone.
func TestLaneWithoutTheSharedNATS(t *testing.T) {
	all := vectors(3, 50_003, 2)
	want := alone(t, all)["Sum"]
	for _, lane := range lanes[1:] {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			shared := natsCluster(t, 1, nil)[0]
			groups := laneRingOver(t, shared.ClientURL(), lane, 3, 3, nil, nil)
			shared.Shutdown()
			shared.WaitForShutdown()
			ctx := deadline(t)
			for step := range uint64(3) {
				if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
					g.SetStep(step)
					got, err := g.Sum(ctx, owned(g, all, len(all[0])))
					if err == nil {
						equalBits(t, fmt.Sprintf("sum %d", step), got.Float32s(), want)
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A stranger who finds a rank's NATS server neither hears nor says anything there.
func TestStrangersAreRefusedByTheServer(t *testing.T) {
	var address string
	laneRing(t, "nats", 2, 2, func(_ int, l *allreduce.Lane) { address = fmt.Sprintf("nats://127.0.0.1:%d", l.Server.Port()) }, nil)
	for _, token := range []string{"", "other"} {
		conn, err := nats.Connect(address, nats.Token(token), nats.NoReconnect())
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("token %q: error %v, want %v", token, err, nats.ErrAuthorization)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// A stranger who finds the port is sent nothing.
func TestStrangersAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn := natsConn(t, natsCluster(t, 1, nil)[0].ClientURL())
	config := allreduce.Config{World: 3, VirtualRanks: 3, JobUID: "7", Generation: 4}
	transport, err := allreduce.NewLaneTransport(config, allreduce.NewNATSTransport(conn, "x", 0), allreduce.Lane{Listener: l, Token: "secret", Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	for line, want := range map[string]string{
		`{"party":{"job":"7","generation":4,"rank":1},"token":"secret"}`: "welcome",
		`{"party":{"job":"7","generation":4,"rank":1},"token":"other"}`:  "wrong token",
		`{"party":{"job":"7","generation":3,"rank":1},"token":"secret"}`: `this is generation 4 of job "7"`,
		`{"party":{"job":"8","generation":4,"rank":1},"token":"secret"}`: `this is generation 4 of job "7"`,
		`{"party":{"job":"7","generation":4,"rank":0},"token":"secret"}`: "rank 0 is no neighbour of rank 0",
		`GET / HTTP/1.1`: "",
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "%s\n", line)
		answer := make([]byte, 100)
		n, _ := c.Read(answer)
		if got := strings.TrimSpace(string(answer[:n])); got != want {
			t.Errorf("%s is answered with %q, want %q", line, got, want)
		}
		c.Close()
	}
}
