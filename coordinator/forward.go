package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// forwardedBy is the header of a request that another coordinator has passed on. It is not passed on again.
const forwardedBy = "Sslctl-Forwarded-By"

// proxy passes requests on to the leader.
type proxy struct {
	cfg       Config
	transport *http.Transport
	errors    *connect.ErrorWriter

	mu     sync.Mutex
	leader string
	ctx    context.Context // ends when the leader is another
	cancel context.CancelFunc
}

func newProxy(cfg Config) *proxy {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	p := &proxy{cfg: cfg, errors: connect.NewErrorWriter(), transport: &http.Transport{
		Protocols: protocols, DisableCompression: true, IdleConnTimeout: time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: cfg.DetectWithin, PingTimeout: cfg.DetectWithin},
	}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// turn ends what is being forwarded if the leader is no longer whom it went to: a frozen leader would never answer.
func (p *proxy) turn(leader string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leader == p.leader {
		return
	}
	p.cancel()
	p.leader = leader
	p.ctx, p.cancel = context.WithCancel(context.Background())
}

// whileLeads cancels a request to the leader when another leads, or none. Call the function that it returns when the request is over.
func (p *proxy) whileLeads(leader string, cancel context.CancelCauseFunc) (over func() bool) {
	p.turn(leader)
	p.mu.Lock()
	defer p.mu.Unlock()
	return context.AfterFunc(p.ctx, func() { cancel(fmt.Errorf("coordinator %s leads no longer", leader)) })
}

func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel()
	p.transport.CloseIdleConnections()
}

// forward answers a request here if this node leads, and else passes it on to the leader. Streams relay by themselves, and NodeStatus is about
// the node that is asked.
func (n *Node) forward(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if streams[r.URL.Path] || r.URL.Path == sslctlv1connect.OperatorServiceNodeStatusProcedure {
			next.ServeHTTP(w, r)
			return
		}
		t, leader := n.awaitTerm(r.Context())
		switch {
		case t != nil:
			next.ServeHTTP(w, r)
		case leader == "":
			n.metrics.Forwarded.WithLabelValues(telemetry.ForwardNoLeader).Inc()
			n.proxy.refuse(w, r, errors.New(n.leaderless()))
		case r.Header.Get(forwardedBy) != "":
			n.proxy.refuse(w, r, fmt.Errorf("coordinator %s takes %s for the leader, which takes %s for it; try again",
				r.Header.Get(forwardedBy), n.cfg.ID, leader))
		default:
			n.metrics.Forwarded.WithLabelValues(telemetry.ForwardPassedOn).Inc()
			n.passOn(w, r, leader)
		}
	})
}

func (n *Node) passOn(w http.ResponseWriter, r *http.Request, leader string) {
	n.log.Debug("pass a request on", telemetry.Request(r.Header.Get(telemetry.RequestHeader)), zap.String("path", r.URL.Path), zap.String("to", leader))
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer n.proxy.whileLeads(leader, cancel)()
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	reverse := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = "http", n.cfg.Peers[leader]
			pr.Out.Host = pr.In.Host
			pr.Out.Header.Set(forwardedBy, n.cfg.ID)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(telemetry.RequestHeader) // the answer names it already
			return nil
		},
		Transport: n.proxy.transport,
		ErrorLog:  zap.NewStdLog(n.log.Named("forward")),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			n.proxy.refuse(w, r, fmt.Errorf("pass the request on to the leading coordinator %s at %s: %w", leader, n.cfg.Peers[leader], err))
		},
	}
	reverse.ServeHTTP(w, r.WithContext(ctx))
}

// refuse answers "unavailable" in the protocol of the request.
func (p *proxy) refuse(w http.ResponseWriter, r *http.Request, why error) {
	if p.errors.IsSupported(r) {
		p.errors.Write(w, r, connect.NewError(connect.CodeUnavailable, why))
		return
	}
	http.Error(w, why.Error(), http.StatusServiceUnavailable)
}
