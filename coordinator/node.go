package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
)

// ErrClosed is returned by what waits for a node that was closed.
var ErrClosed = errors.New("the coordinator is closed")

// Node is a running coordinator.
type Node struct {
	cfg       Config
	log       *zap.Logger
	metrics   *telemetry.CoordinatorMetrics
	logs      *jobLogs
	post      *bus.Post // takes lines of the log to the other coordinators, and brings those of everybody
	fsm       *fsm
	disk      *disk
	mux       *mux
	stream    *stream
	transport *raft.NetworkTransport
	replayed  uint64 // index of the newest entry that was in the log when the node started
	raft      *raft.Raft
	server    *http.Server
	proxy     *proxy

	term     atomic.Pointer[term] // while this node leads and has caught up
	silent   silentPeers
	changed  broadcast      // the state, what was heard, or the leader
	requests sync.WaitGroup // HTTP requests being answered
	futures  gate           // of what Raft is asked for

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  sync.Once
	done   chan struct{} // closed when Close has finished
	failed chan struct{} // closed when the node has failed by itself
	fail   sync.Once
	err    error // why, once failed is closed
}

// Run starts a node, serves until ctx ends or the node fails by itself, and closes it.
func Run(ctx context.Context, cfg Config) error {
	n, err := Start(cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-n.Failed():
	}
	return errors.Join(n.Err(), n.Close())
}

// Start starts a node. It returns as soon as the node listens; WaitLeader waits until the group has a leader. A first start makes the
// group of cfg.Peers, the same on every node; later starts continue from cfg.DataDir. The error wraps ErrConfig if a setting is to blame.
func Start(cfg Config) (*Node, error) {
	ln := cfg.Listener
	if err := cfg.complete(); err != nil {
		if ln != nil {
			ln.Close()
		}
		return nil, err
	}
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, listenError(cfg.Listen, err)
		}
	}
	cfg.address(ln)
	n := &Node{
		cfg: cfg, logs: newJobLogs(), done: make(chan struct{}), failed: make(chan struct{}),
	}
	var err error
	if n.metrics, err = telemetry.NewCoordinatorMetrics(cfg.Registry, cfg.ID, n.readMetrics); err != nil {
		ln.Close()
		return nil, fmt.Errorf("start coordinator %s: %w", cfg.ID, err)
	}
	n.post = n.newPost()
	n.log = telemetry.WithJobLines(cfg.Logger, n.ownLine).With(telemetry.Coordinator(cfg.ID))
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.fsm = newFSM(n.applied, n.broken)
	n.stream = &stream{id: cfg.ID, cluster: cfg.Cluster, advertise: cfg.Advertise, peers: maps.Clone(cfg.Peers), failed: map[string]error{}}
	n.mux = newMux(ln, n.stream.welcome, n.log)
	n.stream.queue = n.mux.raft
	if err := n.startRaft(); err != nil {
		n.cancel()
		ln.Close()
		return nil, err
	}
	n.startHTTP()
	n.goes(n.lead)
	n.goes(n.followLeader)
	n.goes(func() { n.post.Run(n.ctx) })
	n.log.Info("coordinator listens", zap.Stringer("on", ln.Addr()), zap.String("as", cfg.Advertise), zap.String("peers", peerList(cfg.Peers)))
	return n, nil
}

// startRaft opens the disk and joins or makes the group. On an error nothing is left but the listener.
func (n *Node) startRaft() (err error) {
	log := raftLogger(n.ctx, n.log)
	if n.disk, err = openDisk(n.cfg.DataDir, n.cfg.Cluster, n.cfg.ID, log); err != nil {
		return err
	}
	n.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: n.stream, Stream: n.stream, MaxPool: 3, Timeout: n.cfg.DetectWithin, Logger: log,
	})
	defer func() {
		if err != nil {
			n.transport.Close()
			err = errors.Join(err, n.disk.close())
		}
	}()
	config := raftConfig(n.cfg)
	config.Logger = log
	var group raft.Configuration
	for _, id := range slices.Sorted(maps.Keys(n.cfg.Peers)) {
		group.Servers = append(group.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(n.cfg.Peers[id])})
	}
	known, err := raft.HasExistingState(n.disk.log, n.disk.log, n.disk.snapshots)
	if err != nil {
		return fmt.Errorf("%w: cannot read the log in the data folder %s: %w", ErrConfig, n.cfg.DataDir, err)
	}
	if !known && !n.cfg.Join {
		if err := raft.BootstrapCluster(config, n.disk.log, n.disk.log, n.disk.snapshots, n.transport, group); err != nil {
			return fmt.Errorf("make the coordinator group %s: %w", peerList(n.cfg.Peers), err)
		}
	}
	if n.replayed, err = n.disk.log.LastIndex(); err != nil {
		return fmt.Errorf("%w: cannot read the log in the data folder %s: %w", ErrConfig, n.cfg.DataDir, err)
	}
	if n.raft, err = raft.NewRaft(config, n.fsm, n.disk.log, n.disk.log, n.disk.snapshots, n.transport); err != nil {
		return fmt.Errorf("start Raft on the data folder %s: %w", n.cfg.DataDir, err)
	}
	n.stream.raft.Store(n.raft)
	n.raft.RegisterObserver(raft.NewObserver(nil, false, n.silent.note))
	if err := n.checkGroup(); err != nil {
		return errors.Join(err, n.raft.Shutdown().Error())
	}
	return nil
}

// checkGroup compares the peers given with the members of the group in the data folder, who must all be among them.
func (n *Node) checkGroup() error {
	group := membersOf(n.raft)
	given := slices.Sorted(maps.Keys(n.cfg.Peers))
	for _, id := range group.ids() {
		if !slices.Contains(given, id) {
			return fmt.Errorf("%w: the data folder %s belongs to a group of the coordinators %s, the peers given are %s: %s is missing; name it, or give an empty folder",
				ErrConfig, n.cfg.DataDir, strings.Join(group.ids(), ", "), strings.Join(given, ", "), id)
		}
	}
	for _, id := range given {
		if len(group.servers) > 0 && !group.has(id) {
			n.log.Warn("a peer is no member of the group: "+letIn(id), zap.String("peer", id), zap.Strings("members", group.ids()))
		}
	}
	return nil
}

// raftConfig derives every timeout from DetectWithin: a leader that is gone is noticed within it at the latest (Raft waits between one
// and two HeartbeatTimeouts), and one that has lost its followers gives up before another can be elected.
func raftConfig(cfg Config) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(cfg.ID)
	c.HeartbeatTimeout = cfg.DetectWithin / 2
	c.ElectionTimeout = cfg.DetectWithin / 2
	c.LeaderLeaseTimeout = cfg.DetectWithin / 4
	if len(cfg.Peers) == 1 { // nobody to listen for before it elects itself
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = cfg.DetectWithin/20, cfg.DetectWithin/20, cfg.DetectWithin/20
	}
	c.CommitTimeout = min(c.CommitTimeout, cfg.DetectWithin/20)
	c.SnapshotThreshold = 2048
	c.TrailingLogs = 2048
	c.NoLegacyTelemetry = true
	return c
}

// goes runs f in a goroutine that Close waits for.
func (n *Node) goes(f func()) {
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		f()
	}()
}

// applied is called after each committed command.
func (n *Node) applied(r state.Result) {
	for _, e := range r.Events {
		if e.ID >= (n.replayed+1)*state.EventsOfCommand { // else it has happened before the node started, and was counted then
			n.metrics.Events.WithLabelValues(string(e.Reason)).Inc()
		}
		fields := []zap.Field{telemetry.Event(string(e.Reason))}
		if e.Job != 0 {
			fields = append(fields, telemetry.Job(fmt.Sprint(e.Job)), telemetry.JobName(e.Name), telemetry.Generation(e.Generation), telemetry.Step(e.Step))
		}
		if e.Worker != "" {
			fields = append(fields, telemetry.Worker(e.Worker))
		}
		if n.term.Load() != nil {
			n.log.Info(e.Text, fields...)
		} else {
			n.log.Debug(e.Text, fields...)
		}
	}
	if t := n.term.Load(); t != nil {
		t.kick()
	}
	n.changed.notify()
}

// broken ends the node's work because of err.
func (n *Node) broken(err error) {
	n.fail.Do(func() {
		n.log.Error("the coordinator cannot go on", zap.Error(err))
		n.err = err
		close(n.failed)
		n.changed.notify()
	})
}

// Failed is closed when the node cannot go on by itself; Err then says why. It must still be closed.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err is why the node failed, or nil.
func (n *Node) Err() error {
	select {
	case <-n.failed:
		return n.err
	default:
		return nil
	}
}

// Address is the host:port at which others reach this node.
func (n *Node) Address() string { return n.cfg.Advertise }

// IsLeader tells whether this node leads the group, and has caught up with what earlier leaders have committed.
func (n *Node) IsLeader() bool { return n.term.Load() != nil }

// leader is the current leader's id as this node knows it; empty if it knows none that can answer.
func (n *Node) leader() string {
	_, id := n.raft.LeaderWithID()
	if string(id) == n.cfg.ID && !n.IsLeader() {
		return ""
	}
	return string(id)
}

// WaitLeader waits until this node knows a leader. The error of one that waits in vain says whom the node cannot reach.
func (n *Node) WaitLeader(ctx context.Context) error {
	for {
		change := n.changed.next()
		if n.leader() != "" {
			return nil
		}
		select {
		case <-change:
		case <-n.failed:
			return n.err
		case <-n.ctx.Done():
			return fmt.Errorf("wait for a leader: %w", ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", n.leaderless(), ctx.Err())
		}
	}
}

// leaderless says why there is no leader, as far as this node can tell.
func (n *Node) leaderless() string {
	group := membersOf(n.raft)
	if !group.has(n.cfg.ID) {
		if len(group.servers) == 0 {
			return fmt.Sprintf("coordinator %s waits to be let in: sslctl operator raft add-peer %s", n.cfg.ID, n.cfg.ID)
		}
		return fmt.Sprintf("coordinator %s was removed from the group, which is %s; %s", n.cfg.ID, strings.Join(group.ids(), ", "), letIn(n.cfg.ID))
	}
	text := fmt.Sprintf("the coordinators %s have no leader", peerList(n.cfg.Peers))
	if why := n.stream.trouble(); why != "" {
		text += ": " + why
	}
	return text
}

// Close hands leadership over if there is someone to take it, ends all requests, and waits for everything that the node runs. What was
// acknowledged stays in the data folder.
func (n *Node) Close() error {
	var err error
	n.close.Do(func() {
		defer close(n.done)
		if n.IsLeader() && len(n.cfg.Peers) > 1 {
			if err := n.settle(n.raft.LeadershipTransfer); err != nil {
				n.log.Debug("nobody has taken over the leadership", zap.Error(err))
			}
		}
		err = n.shutdown()
	})
	<-n.done
	return err
}

// closeWithin bounds how long Close waits for requests that are being answered.
const closeWithin = time.Second

func (n *Node) shutdown() error {
	n.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		n.server.Close()
	}
	n.futures.close()
	err := n.raft.Shutdown().Error()
	n.transport.Close()
	n.transport.CloseStreams()
	n.mux.close()
	n.proxy.close()
	n.requests.Wait()
	n.wg.Wait()
	if err := errors.Join(err, n.disk.close()); err != nil {
		return fmt.Errorf("close coordinator %s: %w", n.cfg.ID, err)
	}
	n.log.Info("coordinator closed")
	return nil
}

// apply commits a command by a majority and returns what it has led to. The error is about the commit, not about Result.Err.
func (n *Node) apply(c state.Command) (state.Result, error) {
	c.NowMS = time.Now().UnixMilli()
	data, err := c.Encode()
	if err != nil {
		return state.Result{}, err
	}
	start := time.Now()
	var f raft.ApplyFuture
	if err := n.settle(func() raft.Future { f = n.raft.Apply(data, n.cfg.DetectWithin); return f }); err != nil {
		return state.Result{}, fmt.Errorf("commit by a majority of the coordinators: %w", err)
	}
	n.metrics.CommitSeconds.Observe(time.Since(start).Seconds())
	result, ok := f.Response().(state.Result)
	if !ok {
		return state.Result{}, fmt.Errorf("commit by a majority of the coordinators: unexpected answer %T", f.Response())
	}
	return result, nil
}
