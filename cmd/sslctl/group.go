package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sslctl/sslctl/coordinator"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/worker"
	"go.uber.org/zap"
)

// group is a cluster in this process: message bus, coordinators and workers on loopback ports that were free.
type group struct {
	addresses []string // of the coordinators

	servers []*bus.Server
	nodes   []*coordinator.Node
	log     *zap.Logger
	logFile *os.File

	registry *prometheus.Registry // of all of them
	stopHTTP func()

	workers     sync.WaitGroup
	stopWorkers context.CancelFunc

	watchers  sync.WaitGroup
	failed    context.Context // ends with the first failure of a worker or a coordinator, which is its cause; and when the group stops
	fail      context.CancelCauseFunc
	stopping  atomic.Bool
	stopOnce  sync.Once
	stopError error
}

// startGroup starts everything; after an error nothing is left running.
func (g *globals) startGroup(dir string, o upOptions) (started *group, err error) {
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, &inputError{fmt.Errorf("making the log of this run: %w; name another --dir", err)}
	}
	gr := &group{logFile: file, stopWorkers: func() {}, stopHTTP: func() {}}
	gr.failed, gr.fail = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, gr.stop())
		}
	}()
	if gr.log, err = g.loggerWithFile("warn", file, &gr.stopping); err != nil {
		return nil, err
	}
	if gr.registry, err = telemetry.NewRegistry(version); err != nil {
		return nil, err
	}
	urls := o.nats
	if len(urls) > 0 {
		err = checkBus(urls, gr.log)
	} else {
		urls, err = gr.startBuses(o.coordinators)
	}
	if err != nil {
		return nil, err
	}
	if err := gr.startNodes(dir, o.coordinators, urls); err != nil {
		return nil, err
	}
	if gr.stopHTTP, err = serveHTTP(o.httpListen, gr.registry, gr.ready, o.pprof, gr.log); err != nil {
		gr.stopHTTP = func() {}
		return nil, err
	}
	gr.startWorkers(o.workers)
	return gr, nil
}

// busWithin is how long external NATS servers have to answer.
const busWithin = 5 * time.Second

// checkBus finds out at once whether the NATS servers that the user named are there; workers would wait for them.
func checkBus(urls []string, log *zap.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), busWithin)
	defer cancel()
	connection, err := bus.Connect(ctx, urls, "sslctl up", log, nil)
	if err != nil {
		return &inputError{fmt.Errorf("--nats: %w", err)}
	}
	return bus.Close(connection, busWithin)
}

func (gr *group) startBuses(n int) (urls []string, err error) {
	var routes []string
	for i := range n {
		config := bus.ServerConfig{Name: "bus-" + strconv.Itoa(i+1), Logger: gr.log}
		if n > 1 {
			config.ClusterListen, config.Routes = "127.0.0.1:0", routes
		}
		server, err := bus.StartServer(config)
		if err != nil {
			return nil, err
		}
		gr.servers = append(gr.servers, server)
		urls = append(urls, server.ClientURL())
		if n > 1 {
			routes = append(routes, server.ClusterURL())
		}
	}
	return urls, nil
}

func (gr *group) startNodes(dir string, n int, urls []string) error {
	peers := map[string]string{}
	var listeners []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return fmt.Errorf("starting the coordinators: %w", err)
		}
		listeners = append(listeners, l)
		gr.addresses = append(gr.addresses, l.Addr().String())
		peers["coordinator-"+strconv.Itoa(i+1)] = l.Addr().String()
	}
	for i, l := range listeners {
		id := "coordinator-" + strconv.Itoa(i+1)
		node, err := coordinator.Start(coordinator.Config{
			ID: id, Cluster: "up", Listener: l, Peers: peers, DataDir: filepath.Join(dir, id),
			NATSURLs: func() []string { return urls }, Version: version, Logger: gr.log,
			Registry: gr.registry,
		})
		if err != nil {
			for _, open := range listeners[i+1:] {
				err = errors.Join(err, open.Close())
			}
			return err
		}
		gr.nodes = append(gr.nodes, node)
		gr.watch(node)
	}
	return nil
}

// watch makes the failure of a node that of the group.
func (gr *group) watch(node *coordinator.Node) {
	gr.watchers.Go(func() {
		select {
		case <-node.Failed():
			gr.fail(node.Err())
		case <-gr.failed.Done():
		}
	})
}

func (gr *group) startWorkers(n int) {
	ctx, stop := context.WithCancel(context.Background())
	gr.stopWorkers = stop
	for i := range n {
		id := "worker-" + strconv.Itoa(i+1)
		gr.workers.Go(func() {
			err := worker.Run(ctx, worker.Config{ID: id, Coordinators: gr.addresses, Version: version, Logger: gr.log, Registry: gr.registry, RingListen: "127.0.0.1:0"})
			if err != nil {
				gr.fail(fmt.Errorf("%s: %w", id, err))
			}
		})
	}
}

// ready tells whether one of the coordinators leads.
func (gr *group) ready() (string, error) {
	for _, node := range gr.nodes {
		if node.IsLeader() {
			return "ok", nil
		}
	}
	return "", errors.New("the coordinators have no leader")
}

// until is ctx that also ends with the first failure of the group.
func (gr *group) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(gr.failed, cancel)
	return ctx, func() { release(); cancel() }
}

// failure is why a part of the group has failed, or nil.
func (gr *group) failure() error {
	if gr.failed.Err() == nil {
		return nil
	}
	return context.Cause(gr.failed)
}

// because is the failure of the group in place of what it led to.
func (gr *group) because(err error) error {
	if failure := gr.failure(); failure != nil {
		return failure
	}
	return err
}

// workersWithin is how long all workers have to register; it takes milliseconds after the coordinators' first election.
const workersWithin = 60 * time.Second

// awaitWorkers returns when n workers are registered, so that the job starts with all of them.
func (gr *group) awaitWorkers(ctx context.Context, c *client, n int) error {
	limit := time.NewTimer(workersWithin)
	defer limit.Stop()
	for {
		cluster, err := c.getCluster(ctx)
		if err == nil && len(cluster.Workers) >= n {
			return nil
		}
		if failure := gr.failure(); failure != nil {
			return failure
		}
		if err != nil {
			return err
		}
		select {
		case <-limit.C:
			return fmt.Errorf("starting the workers: %d of %d are registered after %v; the log of this run is %s", len(cluster.Workers), n, workersWithin, gr.logFile.Name())
		case <-ctx.Done():
			return gr.because(fmt.Errorf("starting the workers: %w", context.Canceled))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends workers, coordinators and bus, in this order, and waits for each. It may be called again.
func (gr *group) stop() error {
	gr.stopOnce.Do(func() {
		// Who goes last misses those who went before; that is for the log, not for the screen.
		gr.stopping.Store(true)
		gr.stopHTTP()
		gr.stopWorkers()
		gr.workers.Wait()
		var failures []error
		for i := len(gr.nodes) - 1; i >= 0; i-- {
			failures = append(failures, gr.nodes[i].Close())
		}
		for i := len(gr.servers) - 1; i >= 0; i-- {
			gr.servers[i].Shutdown()
		}
		gr.fail(nil)
		gr.watchers.Wait()
		if gr.log != nil {
			_ = gr.log.Sync() // standard error cannot be synchronised everywhere
		}
		failures = append(failures, gr.logFile.Close())
		gr.stopError = errors.Join(failures...)
	})
	return gr.stopError
}
