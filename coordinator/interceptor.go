package coordinator

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
)

// interceptor measures the requests that this node answers itself.
type interceptor struct{ n *Node }

// WrapUnary is part of connect.Interceptor.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		start := time.Now()
		res, err := next(ctx, req)
		i.observe(req.Spec(), start, err)
		return res, err
	}
}

// WrapStreamingClient is part of connect.Interceptor; the node's own calls are not measured.
func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		start := time.Now()
		err := next(ctx, conn)
		i.observe(conn.Spec(), start, err)
		return err
	}
}

func (i *interceptor) observe(spec connect.Spec, start time.Time, err error) {
	i.n.metrics.RequestSeconds.WithLabelValues(method(spec), codeName(err)).Observe(time.Since(start).Seconds())
}

// method is "JobService/Submit".
func method(spec connect.Spec) string {
	name := strings.TrimPrefix(spec.Procedure, "/")
	return name[strings.LastIndexByte(name[:strings.IndexByte(name, '/')], '.')+1:]
}

func codeName(err error) string {
	if err == nil {
		return "ok"
	}
	return connect.CodeOf(err).String()
}
