package bus

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A peer that is not up yet is no error, and its several connections say it once; one that stays away is worth a warning.
func TestServerLogAboutAPeerThatIsAway(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	l := newServerLog(zap.New(core))
	for _, attempt := range []int{1, 1, 1, 60, 60} {
		l.Errorf("Error trying to connect to route (attempt %v): %v", attempt, "connection refused")
	}
	l.Errorf("out of %s", "memory")
	want := []struct {
		level   zapcore.Level
		message string
	}{
		{zapcore.InfoLevel, "Error trying to connect to route (attempt 1): connection refused"},
		{zapcore.WarnLevel, "Error trying to connect to route (attempt 60): connection refused"},
		{zapcore.ErrorLevel, "out of memory"},
	}
	got := logs.All()
	if len(got) != len(want) {
		t.Fatalf("%d lines, expected %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i].Level != w.level || got[i].Message != w.message {
			t.Errorf("line %d is %v %q, expected %v %q", i, got[i].Level, got[i].Message, w.level, w.message)
		}
	}
}
