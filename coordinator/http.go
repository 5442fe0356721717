package coordinator

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// messageMost bounds the bytes of one request.
const messageMost = 16 << 20

// startHTTP serves the API: gRPC, gRPC-Web and JSON over HTTP/1.1 and HTTP/2 without TLS, the metrics and the health checks.
func (n *Node) startHTTP() {
	n.proxy = newProxy(n.cfg)
	options := connect.WithHandlerOptions(connect.WithReadMaxBytes(messageMost), connect.WithInterceptors(&interceptor{n}), connect.WithRecover(n.recovered))
	api := http.NewServeMux()
	api.Handle(sslctlv1connect.NewJobServiceHandler(&jobService{n}, options))
	api.Handle(sslctlv1connect.NewWorkerServiceHandler(&workerService{n}, options))
	api.Handle(sslctlv1connect.NewClusterServiceHandler(&clusterService{n}, options))
	api.Handle(sslctlv1connect.NewOperatorServiceHandler(&operatorService{n}, options))
	api.Handle(sslctlv1connect.NewLogServiceHandler(&logService{n}, options))
	all := http.NewServeMux()
	telemetry.Handle(all, n.cfg.Registry, telemetry.Health{Alive: n.Err, Ready: n.ready}, n.cfg.Pprof)
	for _, service := range []string{
		sslctlv1connect.JobServiceName, sslctlv1connect.WorkerServiceName, sslctlv1connect.ClusterServiceName, sslctlv1connect.OperatorServiceName,
		sslctlv1connect.LogServiceName,
	} {
		all.Handle("/"+service+"/", n.forward(api))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	n.server = &http.Server{
		Handler: n.counted(telemetry.TakeRequestID(all)), Protocols: protocols, ReadHeaderTimeout: sniffWithin, IdleTimeout: 2 * time.Minute,
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

// ready says who leads, or why requests cannot be answered here.
func (n *Node) ready() (string, error) {
	if err := n.Err(); err != nil {
		return "", err
	}
	leader := n.leader()
	if leader == "" {
		return "", errors.New(n.leaderless())
	}
	return fmt.Sprintf("ok, %s leads", leader), nil
}
