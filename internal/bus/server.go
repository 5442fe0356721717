package bus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// ErrStart is returned when an embedded server could not start: a port is taken, an address or a route is unusable.
var ErrStart = errors.New("embedded NATS server did not start")

const (
	defaultMaxPayload    = 8 << 20
	defaultMaxPending    = 64 << 20
	defaultWriteDeadline = 30 * time.Second
	// startWithin bounds how long StartServer waits for both listeners; binding a port takes milliseconds.
	startWithin = 10 * time.Second
)

// ServerConfig describes one embedded server. Zero fields take the defaults named beside them.
type ServerConfig struct {
	Name          string        // unique in the cluster; shown in logs and to clients
	Cluster       string        // name that all servers of a cluster share; "sslctl" if empty
	ClientListen  string        // host:port for clients; port 0 picks a free one; "127.0.0.1:0" if empty
	ClusterListen string        // host:port for the other servers; no clustering if empty
	Routes        []string      // "nats://host:port" of other servers' ClusterListen; any one that is up is enough to find the rest
	Advertise     string        // host:port that clients of other servers are told to fall back to; found from ClientListen if empty
	MaxPayload    int           // bytes in one message; 8 MiB
	MaxPending    int64         // bytes queued for a client before it is dropped as too slow; 64 MiB, 8 windows of 4 MiB and as much again
	WriteDeadline time.Duration // how long one write to a slow client may block; 30 s: a frozen worker is the trainer's business, not the bus's
	Token         string        // what clients must know to be let in; all are if empty
	Logger        *zap.Logger   // server messages; none if nil
}

// Server is a running embedded server.
type Server struct {
	server *server.Server
	client string
	routes string
	once   sync.Once
}

// StartServer starts a server and returns when it accepts clients (and routes, if clustered). Routes that are not up yet are retried
// for as long as the server runs. The error wraps ErrStart and says which address failed and why.
func StartServer(config ServerConfig) (*Server, error) {
	options, err := options(config)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrStart, config.Name, err)
	}
	inner, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrStart, config.Name, err)
	}
	log := newServerLog(config.Logger)
	inner.SetLoggerV2(log, false, false, false)
	s := &Server{server: inner}
	inner.Start()

	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	for !inner.ReadyForConnections(time.Millisecond) {
		select {
		case message := <-log.fatal:
			s.Shutdown()
			return nil, fmt.Errorf("%w: %s; choose a free port, or port 0 for any", ErrStart, listenFailure(message))
		case <-deadline.C:
			s.Shutdown()
			return nil, fmt.Errorf("%w: %q: not listening on %s and %s after %s",
				ErrStart, config.Name, config.ClientListen, orNone(config.ClusterListen), startWithin)
		case <-time.After(5 * time.Millisecond):
		}
	}
	log.started.Store(true)
	s.client = "nats://" + reachable(inner.Addr().(*net.TCPAddr))
	if address := inner.ClusterAddr(); address != nil {
		s.routes = "nats://" + reachable(address)
	}
	return s, nil
}

// ClientURL is where clients on this machine reach the server.
func (s *Server) ClientURL() string { return s.client }

// Port is where the server listens for clients.
func (s *Server) Port() int { return s.server.Addr().(*net.TCPAddr).Port }

// InProcess connects a client to the server without a network.
func (s *Server) InProcess() (net.Conn, error) { return s.server.InProcessConn() }

// ClusterURL is what another server on this machine lists in its Routes; empty if the server is not clustered.
func (s *Server) ClusterURL() string { return s.routes }

// Routes is the number of connections to other servers of the cluster that are up (several to each).
func (s *Server) Routes() int { return s.server.NumRoutes() }

// Shutdown closes all connections and returns when every goroutine of the server has ended. It may be called more than once.
func (s *Server) Shutdown() {
	s.once.Do(s.server.Shutdown)
	s.server.WaitForShutdown()
}

func options(config ServerConfig) (*server.Options, error) {
	if config.Name == "" {
		return nil, errors.New("ServerConfig.Name is empty; give each server of a cluster its own name")
	}
	if config.ClientListen == "" {
		config.ClientListen = "127.0.0.1:0"
	}
	o := &server.Options{
		ServerName:    config.Name,
		MaxPayload:    int32(or(config.MaxPayload, defaultMaxPayload)),
		MaxPending:    or(config.MaxPending, defaultMaxPending),
		WriteDeadline: or(config.WriteDeadline, defaultWriteDeadline),
		Authorization: config.Token,
		NoSigs:        true,
		NoLog:         true,
	}
	var err error
	if o.Host, o.Port, err = listenAddress("ClientListen", config.ClientListen); err != nil {
		return nil, err
	}
	o.ClientAdvertise = config.Advertise
	if config.ClusterListen == "" {
		if len(config.Routes) > 0 {
			return nil, errors.New("Routes without ClusterListen: other servers could not answer; set ClusterListen")
		}
		return o, nil
	}
	o.Cluster.Name = or(config.Cluster, "sslctl")
	o.Cluster.WriteDeadline = o.WriteDeadline
	o.ConnectErrorReports, o.ReconnectErrorReports = routeReports, routeReports
	if o.Cluster.Host, o.Cluster.Port, err = listenAddress("ClusterListen", config.ClusterListen); err != nil {
		return nil, err
	}
	for _, route := range config.Routes {
		u, err := url.Parse(route)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("route %q: expected nats://host:port", route)
		}
		o.Routes = append(o.Routes, u)
	}
	return o, nil
}

// listenAddress splits host:port; the NATS library calls "any free port" -1.
func listenAddress(field, address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: expected host:port: %w", field, address, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: port must be a number from 0 to 65535", field, address)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

// reachable turns a listener's address into one that can be dialled: all interfaces become the loopback one.
func reachable(a *net.TCPAddr) string {
	ip := a.IP
	if ip == nil || ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(a.Port))
}

func or[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// listenFailure takes the operating system's sentence, with the address in it, out of the library's.
func listenFailure(message string) string {
	if i := strings.Index(message, "listen tcp"); i >= 0 {
		return strings.TrimSuffix(message[i:], `"`)
	}
	return message
}

func orNone(address string) string { return or(address, "none") }
