package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/telemetry"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap/zapcore"
)

type logsOptions struct {
	follow bool
	since  time.Duration
	worker string
	level  string
}

func newLogsCommand(g *globals) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs JOB",
		Short: "Show what all workers and coordinators have logged about a job",
		Long: `Shows the log lines that concern a job, from all workers and coordinators, merged in order of time. With -f it goes on with what is
logged, until the job has ended; lines then come a fraction of a second late, so that they can be put in order. With -o json, each line is one
JSON object with all its fields.

The lines are copies, which the coordinators keep in memory: the newest 2000 of a job (1 MiB), of the 64 jobs that were logged about last, since
the coordinator that answers was started. Debug lines are among them only where a process runs with --log-level debug. The processes' own logs
have everything.`,
		Example: "  sslctl logs fashion -f\n  sslctl logs fashion --since 10m --level warn --worker w3",
		Args:    arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			level, err := o.check(cmd)
			if err != nil {
				return err
			}
			return runLogs(cmd.Context(), g, args[0], level, o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until the job has ended")
	f.DurationVar(&o.since, "since", 0, "only lines that are at most this old, such as 10m (default: all that are kept)")
	f.StringVar(&o.worker, "worker", "", "only lines of this worker, or about it")
	f.StringVar(&o.level, "level", "debug", "least level that is shown: "+strings.Join(telemetry.Levels(), ", "))
	// It fails for flags that do not exist alone.
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(telemetry.Levels(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o logsOptions) check(cmd *cobra.Command) (zapcore.Level, error) {
	if o.since < 0 {
		return 0, &usageError{fmt.Sprintf("--since is %v; expected how old lines may be, such as 10m", o.since), cmd.CommandPath()}
	}
	if !slices.Contains(telemetry.Levels(), o.level) {
		return 0, &usageError{fmt.Sprintf("--level is %q; expected one of %s", o.level, strings.Join(telemetry.Levels(), ", ")), cmd.CommandPath()}
	}
	return zapcore.ParseLevel(o.level)
}

func runLogs(ctx context.Context, g *globals, job string, level zapcore.Level, o logsOptions) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	found, err := c.get(ctx, &sslctlv1.GetRequest{Job: job})
	if err != nil {
		return err
	}
	request := &sslctlv1.TailRequest{Job: found.Uid, Follow: o.follow, WorkerId: o.worker, Level: int32(level)}
	if o.since > 0 {
		request.SinceUnixMs = time.Now().Add(-o.since).UnixMilli()
	}
	p := &logPrinter{g: g, lost: map[string]uint64{}, shown: map[string]int64{}}
	err = c.tail(ctx, request, p)
	if o.follow && errors.Is(err, context.Canceled) {
		return nil // an interrupt is a way to end following
	}
	return err
}

// tail prints the lines that the request wants, at another coordinator when one is lost.
func (c *client) tail(ctx context.Context, r *sslctlv1.TailRequest, p *logPrinter) error {
	patience := c.timeout
	if r.Follow {
		patience = streamPatience
	}
	return c.stream(ctx, "reading the logs of job "+r.Job, patience, func(ctx context.Context, e endpoint) (heard bool, err error) {
		heard, _, err = receive(ctx, e.logs.Tail, r, func(m *sslctlv1.TailResponse) (bool, error) {
			if err := p.print(m); err != nil {
				return false, err
			}
			r.SinceUnixMs = max(r.SinceUnixMs, p.resume())
			return false, nil
		})
		return heard, err
	})
}

// logPrinter prints lines, each once, also when another coordinator tells of them again.
type logPrinter struct {
	g      *globals
	lost   map[string]uint64 // by process, as its newest line says
	shown  map[string]int64  // time of the newest lines by their text
	newest int64             // time
	begun  bool
}

// overlap is how far back another coordinator is asked: lines of different processes do not arrive in order.
const overlap = 3 * time.Second

// resume is from when on, in Unix milliseconds, lines may not have been shown.
func (p *logPrinter) resume() int64 { return (p.newest - int64(overlap)) / int64(time.Millisecond) }

func (p *logPrinter) print(m *sslctlv1.TailResponse) error {
	if m.LeftOut > 0 && !p.begun {
		fmt.Fprintf(p.g.err, "%d older lines are not kept any more\n", m.LeftOut)
	}
	p.begun = true
	for _, line := range m.Lines {
		if _, again := p.shown[line.Json]; again {
			continue
		}
		p.shown[line.Json] = line.UnixNano
		p.newest = max(p.newest, line.UnixNano)
		process := processOf(line)
		if known, ok := p.lost[process]; ok && line.Lost > known {
			fmt.Fprintf(p.g.err, "%d lines of %s did not get here; its own log has them\n", line.Lost-known, process)
		}
		p.lost[process] = line.Lost
		if err := p.g.printLogLine(line); err != nil {
			return err
		}
	}
	maps.DeleteFunc(p.shown, func(_ string, at int64) bool { return at < p.newest-2*int64(overlap) })
	return nil
}

// processOf is who has logged a line.
func processOf(line *sslctlv1.LogLine) string {
	if line.CoordinatorId != "" {
		return line.CoordinatorId
	}
	return line.WorkerId
}

// printLogLine prints one line in the form of --output.
func (g *globals) printLogLine(line *sslctlv1.LogLine) error {
	switch g.output {
	case "json":
		_, err := fmt.Fprintln(g.out, line.Json)
		return err
	case "yaml":
		fmt.Fprintln(g.out, "---")
		return writeYAML(g.out, json.RawMessage(line.Json))
	}
	text, err := logLineText(line)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.out, text)
	return err
}

// told are the fields that the beginning of a line tells, or that are the same on all.
var told = []string{"time", "level", "msg", "logger", "job", "job_name"}

// logLineText is a line for people: time, level, process, message, the other fields.
func logLineText(line *sslctlv1.LogLine) (string, error) {
	fields, err := orderedFields(line.Json)
	if err != nil {
		return "", fmt.Errorf("reading a log line: %w in %s", err, line.Json)
	}
	process, message := processOf(line), ""
	var rest strings.Builder
	for _, f := range fields {
		switch {
		case f.name == "msg":
			message = f.value
		case slices.Contains(told, f.name) || f.value == process && (f.name == "worker" || f.name == "coordinator"):
		default:
			fmt.Fprintf(&rest, "  %s=%s", f.name, f.value)
		}
	}
	at := timeText(line.UnixNano / int64(time.Millisecond))
	return fmt.Sprintf("%s  %-5s  %-14s  %s%s", at, zapcore.Level(line.Level).CapitalString(), process, message, rest.String()), nil
}

type field struct{ name, value string }

// orderedFields are the fields of a JSON object as they stand in it; text without quotes unless it has blanks.
func orderedFields(object string) ([]field, error) {
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var list []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		f := field{fmt.Sprint(name), string(value)}
		var text string
		if json.Unmarshal(value, &text) == nil && (f.name == "msg" || text != "" && !strings.ContainsAny(text, " \t\n\"")) {
			f.value = text
		}
		list = append(list, f)
	}
	return list, nil
}
