package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestJobLines(t *testing.T) {
	var out bytes.Buffer
	base, err := NewLogger(Options{Format: "json", Level: "warn", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	var lines []*sslctlv1.LogLine
	log := WithJobLines(base, func(l *sslctlv1.LogLine) { lines = append(lines, l) }).With(Worker("w1"))
	log.Info("of no job")
	log.Info("joined", Job("7"), Rank(2))
	session := log.With(Job("8"), JobName("mnist"), Generation(3))
	session.Debug("not shown")
	session.Named("part").Warn("slow", zap.String("why", "disk"))
	session.Error("panic", zap.String("stack", strings.Repeat("x", 1<<20)))
	if len(lines) != 3 {
		t.Fatalf("%d lines are about jobs: %v", len(lines), lines)
	}
	if l := lines[0]; l.JobUid != "7" || l.WorkerId != "w1" || l.CoordinatorId != "" || l.Level != int32(zapcore.InfoLevel) || l.UnixNano == 0 {
		t.Errorf("got %v", l)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[1].Json), &fields); err != nil {
		t.Fatal(err)
	}
	if lines[1].JobUid != "8" || fields["msg"] != "slow" || fields["why"] != "disk" || fields["job_name"] != "mnist" || fields["generation"] != 3.0 || fields["level"] != "warn" {
		t.Errorf("got %v", fields)
	}
	if !strings.Contains(out.String(), lines[1].Json+"\n") {
		t.Errorf("the process's own log has it otherwise: %s", out.String())
	}
	if l := lines[2]; len(l.Json) > 1000 || !json.Valid([]byte(l.Json)) || !strings.Contains(l.Json, `"bytes_left_out":10`) {
		t.Errorf("a line of 1 MiB became %d bytes: %.200s", len(l.Json), l.Json)
	}
	if strings.Contains(out.String(), "joined") {
		t.Error("the process's own log ignores its level")
	}
}
