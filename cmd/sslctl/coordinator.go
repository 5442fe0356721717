package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/coordinator"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
	"go.uber.org/zap"
)

// Ports of the message bus, counted from the coordinator's own, when nothing else is said.
const (
	busClientPort  = 1
	busClusterPort = 2
)

type coordinatorOptions struct {
	id, cluster       string
	listen, advertise string
	peers             map[string]string
	dataDir           string
	join              bool
	detectWithin      time.Duration
	nats              []string
	natsListen        string
	natsClusterListen string
	natsRoutes        []string
	pprof             bool
}

func newCoordinatorCommand(g *globals) *cobra.Command {
	var o coordinatorOptions
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run one node of the coordinator group",
		Long: `Runs one node of the coordinator group until an interrupt or SIGTERM. One port (--listen) serves everything: the API as gRPC, gRPC-Web
and JSON over HTTP, Raft, Prometheus metrics at /metrics, and the health checks /healthz (the process works) and /readyz (it knows a leader). A group has 1, 3 or 5 nodes; each is started with the same --peers.

Each node embeds a NATS server for the workers, on the two ports above its own (--nats-listen, --nats-cluster-listen), clustered with those of
its peers; with --nats, the workers use external servers instead.

State lives in --data-dir. The secrets that jobs refer to are never here; workers resolve them.`,
		Example: `  sslctl coordinator --data-dir /var/lib/sslctl
  sslctl coordinator --id b --listen 10.0.0.2:7600 --peers a=10.0.0.1:7600,b=10.0.0.2:7600,c=10.0.0.3:7600 --data-dir /var/lib/sslctl`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCoordinator(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.id, "id", hostname(), "name of this node, the same at each start")
	f.StringVar(&o.cluster, "cluster", "default", "name of the group; groups of other names are refused")
	f.StringVar(&o.listen, "listen", defaultAddress, "host:port to listen on; port 0 takes a free one")
	f.StringVar(&o.advertise, "advertise", "", "host:port at which others reach this node (default: from --peers, else --listen)")
	f.StringToStringVar(&o.peers, "peers", nil, "id=host:port of all nodes of the group, this one included (default: this node alone)")
	f.Lookup("peers").DefValue = "" // an empty map's "[]" says nothing
	f.BoolVar(&o.join, "join", false, "with an empty --data-dir: wait for sslctl operator raft add-peer instead of making a group with the peers")
	f.StringVar(&o.dataDir, "data-dir", "", "folder of the Raft log and snapshots (default .sslctl/coordinator-ID)")
	f.DurationVar(&o.detectWithin, "detect-within", coordinator.DetectWithinDefault, "how soon a lost leader, or a lost worker without a job, is noticed; the same on all nodes")
	f.StringSliceVar(&o.nats, "nats", nil, "nats://host:port of external NATS servers, separated by commas (default: embedded ones)")
	f.StringVar(&o.natsListen, "nats-listen", "", "host:port of the embedded NATS server for clients (default: --listen with port + 1)")
	f.StringVar(&o.natsClusterListen, "nats-cluster-listen", "", "host:port of the embedded NATS server for its peers (default: --listen with port + 2)")
	f.StringSliceVar(&o.natsRoutes, "nats-routes", nil, "nats://host:port of the peers' --nats-cluster-listen (default: their addresses with port + 2)")
	addPprofFlag(cmd, &o.pprof, "--listen")
	return cmd
}

func runCoordinator(ctx context.Context, g *globals, o coordinatorOptions) error {
	log, err := g.logger("info")
	if err != nil {
		return err
	}
	if o.dataDir == "" {
		o.dataDir = filepath.Join(".sslctl", "coordinator-"+o.id)
	}
	var urls []string
	config := coordinator.Config{
		ID: o.id, Cluster: o.cluster, Listen: o.listen, Advertise: o.advertise, Peers: o.peers, Join: o.join, DataDir: o.dataDir,
		NATSURLs: func() []string { return urls }, DetectWithin: o.detectWithin, Version: version, Logger: log,
	}
	if err := config.Check(); err != nil {
		return err
	}
	if err := bus.Check(o.nats); err != nil {
		return fmt.Errorf("--nats: %w", err)
	}
	registry, err := telemetry.NewRegistry(version)
	if err != nil {
		return err
	}
	listener, err := listen("--listen", o.listen)
	if err != nil {
		return fmt.Errorf("starting coordinator %s: %w", o.id, err)
	}
	config.Listener = listener
	var stopBus func()
	urls, stopBus, err = startBus(o, listener.Addr(), log.With(telemetry.Coordinator(o.id)))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stopBus()
	log.Info("coordinator starts", telemetry.Coordinator(o.id), zap.Strings("nats", bus.Redact(urls)))
	config.Registry, config.Pprof = registry, o.pprof
	return coordinator.Run(ctx, config)
}

// startBus starts the embedded NATS server of a coordinator, unless external ones are named, and says where workers reach the bus.
func startBus(o coordinatorOptions, own net.Addr, log *zap.Logger) (urls []string, stop func(), err error) {
	if len(o.nats) > 0 {
		return o.nats, func() {}, nil
	}
	if o.natsListen == "" {
		o.natsListen = neighbour(own.String(), busClientPort)
	}
	if o.natsClusterListen == "" && len(o.peers) > 1 {
		o.natsClusterListen = neighbour(own.String(), busClusterPort)
	}
	if o.natsRoutes == nil && o.natsClusterListen != "" {
		for _, id := range slices.Sorted(maps.Keys(o.peers)) {
			if id != o.id {
				o.natsRoutes = append(o.natsRoutes, "nats://"+neighbour(o.peers[id], busClusterPort))
			}
		}
	}
	server, err := bus.StartServer(bus.ServerConfig{
		Name: o.cluster + "-" + o.id, Cluster: o.cluster, ClientListen: o.natsListen, ClusterListen: o.natsClusterListen,
		Routes: o.natsRoutes, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("starting coordinator %s: %w", o.id, err)
	}
	return []string{advertisedBus(o, server.ClientURL())}, server.Shutdown, nil
}

// advertisedBus is the bus's URL as workers on other machines see it: at the host under which the coordinator itself is known.
func advertisedBus(o coordinatorOptions, local string) string {
	known := o.advertise
	if known == "" {
		known = o.peers[o.id]
	}
	host, _, err := net.SplitHostPort(known)
	if err != nil {
		return local
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(local, "nats://"))
	if err != nil {
		return local
	}
	return "nats://" + net.JoinHostPort(host, port)
}

// neighbour is the address offset ports above another; "any free port" stays so.
func neighbour(address string, offset int) string {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return address // refused where it is used, with its name
	}
	port, err := strconv.Atoi(text)
	if err != nil || port == 0 {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(port+offset))
}

// hostname is the default name of a node or worker.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
