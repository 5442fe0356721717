package telemetry

import (
	"slices"
	"strings"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lineMost bounds LogLine.Json in bytes. A line that is longer loses its fields.
const lineMost = 32 << 10

// WithJobLines is l that also calls sink with each line that has the field Job, from level info on, or from l's own level if that is lower.
// sink must not block.
func WithJobLines(l *zap.Logger, sink func(*sslctlv1.LogLine)) *zap.Logger {
	level := min(l.Level(), zapcore.InfoLevel)
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewTee(c, &jobLines{LevelEnabler: level, encoder: zapcore.NewJSONEncoder(encoderConfig()), sink: sink})
	}))
}

// jobLines is the core of WithJobLines.
type jobLines struct {
	zapcore.LevelEnabler
	encoder zapcore.Encoder // without fields
	fields  []zapcore.Field // of With
	sink    func(*sslctlv1.LogLine)
}

func (c *jobLines) With(fields []zapcore.Field) zapcore.Core {
	clone := *c
	clone.fields = slices.Concat(c.fields, fields)
	return &clone
}

func (c *jobLines) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *jobLines) Write(e zapcore.Entry, own []zapcore.Field) error {
	fields := slices.Concat(c.fields, own)
	line := &sslctlv1.LogLine{UnixNano: e.Time.UnixNano(), Level: int32(e.Level)}
	for _, f := range fields {
		switch f.Key {
		case jobKey:
			line.JobUid = f.String
		case workerKey:
			line.WorkerId = f.String
		case coordinatorKey:
			line.CoordinatorId = f.String
		}
	}
	if line.JobUid == "" {
		return nil
	}
	var err error
	if line.Json, err = c.encode(e, fields); err != nil {
		return err
	}
	if len(line.Json) > lineMost {
		e.Message, e.Stack = e.Message[:min(len(e.Message), lineMost/8)], ""
		if line.Json, err = c.encode(e, []zapcore.Field{Job(line.JobUid), zap.Int("bytes_left_out", len(line.Json))}); err != nil {
			return err
		}
	}
	c.sink(line)
	return nil
}

func (c *jobLines) encode(e zapcore.Entry, fields []zapcore.Field) (string, error) {
	buffer, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return "", err
	}
	defer buffer.Free()
	return strings.TrimSuffix(buffer.String(), zapcore.DefaultLineEnding), nil
}

func (c *jobLines) Sync() error { return nil }
