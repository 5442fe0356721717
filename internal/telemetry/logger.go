// Package telemetry makes the loggers of all processes, and names the fields that they share.
package telemetry

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Formats are the values that Options.Format may have.
func Formats() []string { return []string{"console", "json"} }

// Levels are the values that Options.Level may have, from most to least.
func Levels() []string { return []string{"debug", "info", "warn", "error"} }

// Options say how a process logs.
type Options struct {
	Format string    // console (for people) or json (one object a line); empty: console
	Level  string    // debug, info, warn or error; empty: info
	Output io.Writer // need not be safe for concurrent use
}

// NewLogger makes a logger. Times are UTC with milliseconds, durations are text.
func NewLogger(o Options) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("making a logger: level %q is unknown; expected one of %v", o.Level, Levels())
		}
	}
	c := encoderConfig()
	var encoder zapcore.Encoder
	switch o.Format {
	case "", "console":
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	case "json":
		encoder = zapcore.NewJSONEncoder(c)
	default:
		return nil, fmt.Errorf("making a logger: format %q is unknown; expected one of %v", o.Format, Formats())
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(o.Output)), level)), nil
}

// encoderConfig is how lines look, as JSON.
func encoderConfig() zapcore.EncoderConfig {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey = "time"
	c.EncodeTime = func(t time.Time, out zapcore.PrimitiveArrayEncoder) {
		out.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	c.EncodeDuration = zapcore.StringDurationEncoder
	return c
}

// Both logs to a and to b, each from its own level on.
func Both(a, b *zap.Logger) *zap.Logger { return zap.New(zapcore.NewTee(a.Core(), b.Core())) }

// Unless logs to l; while quiet is set, errors only.
func Unless(l *zap.Logger, quiet *atomic.Bool) *zap.Logger {
	return zap.New(&muted{l.Core(), quiet})
}

// muted is a core that can be told to keep to errors.
type muted struct {
	zapcore.Core
	quiet *atomic.Bool
}

func (m *muted) Enabled(level zapcore.Level) bool {
	return m.Core.Enabled(level) && (level >= zapcore.ErrorLevel || !m.quiet.Load())
}

func (m *muted) With(fields []zapcore.Field) zapcore.Core {
	return &muted{m.Core.With(fields), m.quiet}
}

func (m *muted) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if m.Enabled(e.Level) {
		return checked.AddCore(e, m)
	}
	return checked
}

// Keys of the fields by which lines of several processes are brought together.
const (
	jobKey         = "job"
	workerKey      = "worker"
	coordinatorKey = "coordinator"
)

// Job is the field that names a job: a UID, since names come back.
func Job(uid string) zap.Field { return zap.String(jobKey, uid) }

// JobName is the field with the name that people know a job by.
func JobName(name string) zap.Field { return zap.String("job_name", name) }

// Worker is the field that names a worker.
func Worker(id string) zap.Field { return zap.String(workerKey, id) }

// Coordinator is the field that names a coordinator.
func Coordinator(id string) zap.Field { return zap.String(coordinatorKey, id) }

// Generation is the field that names one membership of a job.
func Generation(g uint64) zap.Field { return zap.Uint64("generation", g) }

// Step is the field that counts finished steps.
func Step(s uint64) zap.Field { return zap.Uint64("step", s) }

// Rank is the field with a worker's place in a generation.
func Rank(r uint32) zap.Field { return zap.Uint32("rank", r) }

// Event is the field with the word for what has happened to a job or worker.
func Event(reason string) zap.Field { return zap.String("event", reason) }
