package bus

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// The library opens several connections to each server of the cluster and writes one line for each attempt of each. The same line is
	// written once in serverLogEvery, and one attempt of routeReports; the library tries once a second.
	serverLogEvery = 10 * time.Second
	routeReports   = 60
	// routeFailed begins the library's line about a server of the cluster that does not answer.
	routeFailed = "Error trying to connect to route"
)

// serverLog hands the server library's messages to zap. The library reports a listener that could not be opened only as a fatal log
// line, whose usual logger would end the process; here the first one is kept for StartServer, whose error tells it.
type serverLog struct {
	zap     *zap.Logger
	fatal   chan string
	started atomic.Bool // StartServer listens to fatal no longer
}

func newServerLog(logger *zap.Logger) *serverLog {
	if logger == nil {
		logger = zap.NewNop()
	}
	sampled := logger.Named("nats-server").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, serverLogEvery, 1, 0)
	}))
	return &serverLog{zap: sampled, fatal: make(chan string, 1)}
}

// Noticef is told about every client and route that comes and goes: of interest when looking for a fault only.
func (l *serverLog) Noticef(format string, v ...any) { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.zap.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Tracef(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }

// Errorf is told about another server that does not answer, too: everyday life while a group starts or one of it restarts, a warning
// when it lasts.
func (l *serverLog) Errorf(format string, v ...any) {
	message := fmt.Sprintf(format, v...)
	switch {
	case !strings.HasPrefix(format, routeFailed):
		l.zap.Error(message)
	case len(v) > 0 && v[0] == 1:
		l.zap.Info(message)
	default:
		l.zap.Warn(message)
	}
}

func (l *serverLog) Fatalf(format string, v ...any) {
	message := fmt.Sprintf(format, v...)
	if l.started.Load() {
		l.zap.Error(message)
		return
	}
	select {
	case l.fatal <- message:
	default: // one is enough
	}
}
