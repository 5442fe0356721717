package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(Options{Format: "json", Level: "warn", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hidden")
	log.Warn("shown", Job("17"), Worker("w1"), Generation(2), Step(3))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line["msg"] != "shown" || line["job"] != "17" || line["worker"] != "w1" || line["generation"] != 2.0 || line["step"] != 3.0 {
		t.Errorf("got %v", line)
	}
}

func TestLoggerOptions(t *testing.T) {
	for _, o := range []Options{{Format: "xml"}, {Level: "loud"}} {
		if _, err := NewLogger(o); err == nil || !strings.Contains(err.Error(), "expected one of") {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}
