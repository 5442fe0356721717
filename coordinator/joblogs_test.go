package coordinator

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func logLine(uid string, at int64, text string) *pb.LogLine {
	return &pb.LogLine{JobUid: uid, UnixNano: at, Json: text}
}

func TestLogsAreBoundedAndInOrderOfTime(t *testing.T) {
	l := newJobLogs()
	l.add(logLine("7", 3, "c"))
	l.add(logLine("7", 1, "a"))
	l.add(logLine("8", 1, "other"))
	l.add(logLine("7", 2, "b"))
	lines, next, gone := l.since("7", 0)
	text := ""
	for _, line := range lines {
		text += line.Json
	}
	if text != "abc" || next != 3 || gone != 0 {
		t.Errorf("%q, next %d, gone %d", text, next, gone)
	}
	if lines, next, _ := l.since("7", next); len(lines) != 0 || next != 3 {
		t.Errorf("there is nothing new: %v, next %d", lines, next)
	}
	if lines, next, gone := l.since("9", 0); len(lines) != 0 || next != 0 || gone != 0 {
		t.Errorf("a job without lines: %v, next %d, gone %d", lines, next, gone)
	}
	for i := range logLinesMost {
		l.add(logLine("7", int64(i), "x"))
	}
	if lines, next, gone := l.since("7", 1); len(lines) != logLinesMost || next != logLinesMost+3 || gone != 2 {
		t.Errorf("%d lines, next %d, gone %d of those asked for", len(lines), next, gone)
	}
	long := strings.Repeat("x", logBytesMost/4)
	for range 6 {
		l.add(logLine("8", 1, long))
	}
	if lines, _, gone := l.since("8", 0); len(lines) != 4 || gone != 3 {
		t.Errorf("%d long lines are kept, %d are gone", len(lines), gone)
	}
	for i := range logJobsMost - 1 {
		l.add(logLine(fmt.Sprint(100+i), 1, "x"))
	}
	if lines, _, _ := l.since("7", 0); len(lines) != 0 || len(l.jobs) != logJobsMost {
		t.Errorf("%d jobs are kept, with %d lines of the oldest", len(l.jobs), len(lines))
	}
	if lines, _, _ := l.since("8", 0); len(lines) == 0 {
		t.Error("a job that was logged about later is forgotten")
	}
}
