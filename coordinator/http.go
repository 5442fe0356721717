package coordinator

import (
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// messageMost bounds the bytes of one request.
const messageMost = 16 << 20

// startHTTP serves the API: gRPC, gRPC-Web and JSON over HTTP/1.1 and HTTP/2 without TLS, and the health checks.
func (n *Node) startHTTP() {
	n.proxy = newProxy(n.cfg)
	options := connect.WithReadMaxBytes(messageMost)
	api := http.NewServeMux()
	api.Handle(sslctlv1connect.NewJobServiceHandler(&jobService{n}, options))
	api.Handle(sslctlv1connect.NewWorkerServiceHandler(&workerService{n}, options))
	api.Handle(sslctlv1connect.NewClusterServiceHandler(&clusterService{n}, options))
	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", n.healthz)
	all.HandleFunc("GET /readyz", n.readyz)
	for _, service := range []string{sslctlv1connect.JobServiceName, sslctlv1connect.WorkerServiceName, sslctlv1connect.ClusterServiceName} {
		all.Handle("/"+service+"/", n.forward(api))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	n.server = &http.Server{
		Handler: n.counted(all), Protocols: protocols, ReadHeaderTimeout: sniffWithin, IdleTimeout: 2 * time.Minute,
		ErrorLog: zap.NewStdLog(n.log.Named("http")),
		// Two missed pings free a connection whose other end has vanished.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	n.goes(func() {
		if err := n.server.Serve(n.mux.http); err != nil && n.ctx.Err() == nil {
			n.broken(fmt.Errorf("serve HTTP on %s: %w", n.cfg.Advertise, err))
		}
	})
	n.goes(func() {
		if err := n.mux.serve(); err != nil {
			n.broken(err)
		}
	})
}

// counted makes Close wait for requests, and ends them when it begins.
func (n *Node) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.requests.Add(1)
		defer n.requests.Done()
		next.ServeHTTP(w, r)
	})
}

// healthz answers 200 while the process works: restart it otherwise.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := n.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readyz answers 200 while requests can be answered here: some node leads.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := n.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	leader := n.leader()
	if leader == "" {
		http.Error(w, n.leaderless(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "ok, %s leads\n", leader)
}
