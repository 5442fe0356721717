package coordinator

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A peer that is away is worth raftLogFirst lines of a kind in each raftLogEvery; Raft would write ten a second.
const (
	raftLogEvery = 10 * time.Second
	raftLogFirst = 3
)

// raftLogger writes Raft's messages to log, one level down: what is an error to Raft (a peer that does not answer) is everyday life. Once
// ending has ended, it is all for debugging.
func raftLogger(ending context.Context, log *zap.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Debug})
	sampled := log.Named("raft").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, raftLogEvery, raftLogFirst, 0)
	}))
	l.RegisterSink(raftSink{ending, sampled})
	return l
}

type raftSink struct {
	ending context.Context
	log    *zap.Logger
}

// Accept takes one message; args alternate names and values.
func (s raftSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := zapcore.DebugLevel
	switch {
	case s.ending.Err() != nil:
	case level >= hclog.Error:
		to = zapcore.WarnLevel
	case level == hclog.Warn:
		to = zapcore.InfoLevel
	}
	entry := s.log.Check(to, msg)
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name, _ := args[i].(string)
		value := args[i+1]
		if peer, ok := value.(raft.Server); ok {
			value = fmt.Sprintf("%s=%s", peer.ID, peer.Address)
		}
		fields = append(fields, zap.Any(name, value))
	}
	entry.Write(fields...)
}
