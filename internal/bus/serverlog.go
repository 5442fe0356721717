package bus

import (
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"
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
	return &serverLog{zap: logger.Named("nats-server"), fatal: make(chan string, 1)}
}

// Noticef is told about every client and route that comes and goes: of interest when looking for a fault only.
func (l *serverLog) Noticef(format string, v ...any) { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.zap.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.zap.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Tracef(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }

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
