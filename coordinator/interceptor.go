package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sslctl/sslctl/internal/telemetry"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// interceptor measures and logs the requests that this node answers itself.
type interceptor struct{ n *Node }

// WrapUnary is part of connect.Interceptor.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		start := time.Now()
		res, err := next(ctx, req)
		about := i.about(req.Any())
		if about == nil && err == nil {
			about = i.about(res.Any())
		}
		return res, i.done(ctx, req.Spec(), req.Header(), start, about, err)
	}
}

// WrapStreamingClient is part of connect.Interceptor; the node's own calls are somebody's requests already.
func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		start := time.Now()
		return i.done(ctx, conn.Spec(), conn.RequestHeader(), start, nil, next(ctx, conn))
	}
}

// done counts and logs a request, and returns its error as the caller should see it: an internal one says under which id the logs have more.
func (i *interceptor) done(ctx context.Context, spec connect.Spec, header http.Header, start time.Time, about []zap.Field, err error) error {
	if err != nil && ctx.Err() != nil {
		err = connect.NewError(connect.CodeCanceled, err) // the caller has gone
	}
	name, code, took := method(spec), codeName(err), time.Since(start)
	i.n.metrics.RequestSeconds.WithLabelValues(name, code).Observe(took.Seconds())
	level := zapcore.InfoLevel
	switch {
	case internal(err):
		level = zapcore.ErrorLevel
	case reads(spec):
		level = zapcore.DebugLevel
	}
	id := header.Get(telemetry.RequestHeader)
	if line := i.n.log.Check(level, "request"); line != nil {
		fields := []zap.Field{telemetry.Request(id), zap.String("method", name), zap.String("code", code), zap.Duration("took", took)}
		if by := header.Get(forwardedBy); by != "" {
			fields = append(fields, zap.String("forwarded_by", by))
		}
		line.Write(slices.Concat(fields, about, []zap.Field{zap.Error(err)})...)
	}
	if internal(err) && !strings.Contains(err.Error(), id) { // a leader's error, relayed, has it already
		code, api := connect.CodeOf(err), new(connect.Error)
		if errors.As(err, &api) {
			err = errors.New(api.Message())
		}
		return connect.NewError(code, fmt.Errorf("%w (the coordinators' logs have more under request %s)", err, id))
	}
	return err
}

// internal tells whether an error is the coordinators' own fault.
func internal(err error) bool {
	if err == nil {
		return false
	}
	code := connect.CodeOf(err)
	return code == connect.CodeInternal || code == connect.CodeUnknown || code == connect.CodeDataLoss
}

// reads tells whether a procedure changes nothing that a person has asked for: those are for debugging.
func reads(spec connect.Spec) bool {
	_, name, _ := strings.Cut(method(spec), "/")
	for _, verb := range []string{"Get", "List", "Watch", "Explain", "Preview", "NodeStatus", "Tail", "Heartbeat"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

// about names the job or the worker that a request or an answer is about; nil if it is about none that there is.
func (i *interceptor) about(message any) []zap.Field {
	switch m := message.(type) {
	case interface{ GetJob() *pb.Job }:
		if uid := m.GetJob().GetUid(); uid != "" {
			return []zap.Field{telemetry.Job(uid)}
		}
	case interface{ GetJob() string }:
		if j := i.n.fsm.state.Load().Job(m.GetJob()); j != nil {
			return []zap.Field{telemetry.Job(fmt.Sprint(j.UID)), telemetry.JobName(j.Name)}
		}
	case interface{ GetWorkerId() string }:
		return []zap.Field{telemetry.Worker(m.GetWorkerId())}
	}
	return nil
}

// recovered turns a panic in a handler into an answer, and logs where it came from.
func (n *Node) recovered(_ context.Context, spec connect.Spec, header http.Header, panicked any) error {
	n.log.Error("panic", telemetry.Request(header.Get(telemetry.RequestHeader)), zap.String("method", method(spec)),
		zap.Any("panic", panicked), zap.ByteString("stack", debug.Stack()))
	return connect.NewError(connect.CodeInternal, fmt.Errorf("internal error: %v", panicked))
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
