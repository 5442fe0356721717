// Package coordinator is one node of the coordinator group: a Raft node that agrees on jobs (package state), a leader loop that plans
// them (package planner), and the API of the group, all on one port.
package coordinator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// ErrConfig is returned by Start when a setting, or the combination of settings and what is on disk, cannot work.
var ErrConfig = errors.New("coordinator settings")

// DetectWithinDefault is used where Config.DetectWithin is 0.
const DetectWithinDefault = 2 * time.Second

// Config is what a coordinator is started with. Everything that may be left out says so.
type Config struct {
	// ID names the node within its group. It may not change while DataDir lives.
	ID string
	// Cluster names the group; it is part of every NATS subject. Coordinators of another cluster are refused. May be empty: "default".
	Cluster string
	// Listen is the host:port to listen on, for everything. Not used if Listener is set.
	Listen string
	// Listener is an open listener to use instead of Listen. The node closes it, also when Start fails.
	Listener net.Listener
	// Advertise is the host:port at which others reach this node. May be empty: the address in Peers, else that of the listener.
	Advertise string
	// Peers are the addresses of all nodes of the group by id, this one included. Addresses may change between two starts, ids may not.
	// May be empty: the node is a group of its own. Once there is a group, those that are no members of it take no part: see Join.
	Peers map[string]string
	// Join makes a node with an empty DataDir wait until a group of its peers lets it in, instead of making one with them.
	Join bool
	// DataDir is the folder of the Raft log and snapshots. It is created.
	DataDir string
	// NATSURLs tells where workers find the message bus, at the time that one registers. May be nil.
	NATSURLs func() []string
	// DetectWithin is within which a lost leader is noticed, and a lost worker that has no job; every timeout of the group derives from it.
	// All nodes must have the same. May be 0: DetectWithinDefault.
	DetectWithin time.Duration
	// Version of the program, for people.
	Version string
	// Logger may be nil.
	Logger *zap.Logger
	// Registry takes the node's metrics, and /metrics shows all that is in it. May be nil: one of its own.
	Registry *prometheus.Registry
	// Pprof adds /debug/pprof.
	Pprof bool
}

// detectWithinLeast is the shortest DetectWithin: below it, scheduling and disks on a busy machine look like lost nodes.
const detectWithinLeast = 100 * time.Millisecond

// Check finds settings that cannot work, as far as that shows without the address and the disk, before anything is started with them.
func (c Config) Check() error {
	return c.complete() // of a copy
}

// complete fills in what was left out and checks the whole, all but what needs the listener or the disk.
func (c *Config) complete() error {
	c.Cluster = cmp.Or(c.Cluster, "default")
	c.DetectWithin = cmp.Or(c.DetectWithin, DetectWithinDefault)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.NATSURLs == nil {
		c.NATSURLs = func() []string { return nil }
	}
	switch {
	case c.ID == "":
		return fmt.Errorf("%w: the coordinator has no id; give it one that is unique in its group", ErrConfig)
	case strings.ContainsAny(c.ID, " \t\n=,"):
		return fmt.Errorf("%w: coordinator id %q has a blank, an equals sign or a comma in it; use letters, digits and hyphens", ErrConfig, c.ID)
	case c.DataDir == "":
		return fmt.Errorf("%w: coordinator %s has no data folder; its log must live somewhere", ErrConfig, c.ID)
	case c.DetectWithin < detectWithinLeast:
		return fmt.Errorf("%w: detectWithin is %s; the least is %s", ErrConfig, c.DetectWithin, detectWithinLeast)
	case c.Listener == nil && c.Listen == "":
		return fmt.Errorf("%w: coordinator %s has no address to listen on; give host:port", ErrConfig, c.ID)
	}
	if len(c.Peers) == 0 {
		return nil
	}
	own, ok := c.Peers[c.ID]
	if !ok {
		return fmt.Errorf("%w: coordinator %s is not among the peers %s; the list names all coordinators of the group, this one included", ErrConfig, c.ID, peerList(c.Peers))
	}
	if c.Advertise != "" && c.Advertise != own {
		return fmt.Errorf("%w: coordinator %s advertises %s, its peers know it as %s; make them equal", ErrConfig, c.ID, c.Advertise, own)
	}
	c.Advertise = own
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(c.Peers)) {
		addr := c.Peers[id]
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%w: peer %s has the address %q, expected host:port: %w", ErrConfig, id, addr, err)
		}
		if other, taken := seen[addr]; taken {
			return fmt.Errorf("%w: peers %s and %s have the same address %s; give each the address at which the others reach it", ErrConfig, other, id, addr)
		}
		seen[addr] = id
	}
	return nil
}

// address completes Advertise and Peers from the listener.
func (c *Config) address(ln net.Listener) {
	if c.Advertise == "" {
		c.Advertise = ln.Addr().String()
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			host, err := os.Hostname()
			if err != nil {
				host = "127.0.0.1"
			}
			c.Advertise = net.JoinHostPort(host, fmt.Sprint(tcp.Port))
		}
	}
	if len(c.Peers) == 0 {
		c.Peers = map[string]string{c.ID: c.Advertise}
	}
}

// peerList prints peers as they are written on the command line.
func peerList(peers map[string]string) string {
	list := make([]string, 0, len(peers))
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		list = append(list, id+"="+peers[id])
	}
	return strings.Join(list, ",")
}
