package planner_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
)

var update = flag.Bool("update", false, "write what the scripts in testdata print into them")

// TestScripts runs the cluster scripts in testdata: blocks of one command, a line of dashes, and what the cluster answers. After each
// command the planner runs until it has nothing more to do. Commands:
//
//	worker ID [incarnation=N] [numerics=a,b] [labels=k=v,…]   a worker process registers and is heard
//	submit NAME [min= max= v= priority= detect= numerics= epochs= batch= labels=k=v,…]
//	report ID [phase= step= loss= detail= failure= permanent=true leaving=true idle=true generation=N]   a heartbeat
//	plan|ledger|checkpoint|evaluation|exported|remove JOB key=value …       rank 0's progress, with its heartbeat
//	advance DURATION [hear=ID,ID]                   time passes; the workers named are heard at its end
//	leader                                          another coordinator leads
//	pause|resume|cancel NAME
//	scale NAME min= max=
//	delete NAME [force=true]
//	explain NAME
//	cordon|drain|uncordon ID
//	status NAME
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts in testdata: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster()
	var got bytes.Buffer
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		command, _, hasAnswer := strings.Cut(block+"\n", "----\n")
		if !hasAnswer && strings.HasPrefix(block, "#") {
			fmt.Fprintf(&got, "%s\n\n", strings.TrimRight(block, "\n"))
			continue
		}
		fmt.Fprintf(&got, "%s----\n", command)
		for line := range strings.Lines(command) {
			if !strings.HasPrefix(line, "#") {
				c.run(t, strings.TrimSpace(line))
			}
		}
		fmt.Fprintf(&got, "%s\n", c.out.String())
		c.out.Reset()
	}
	text := strings.TrimRight(got.String(), "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != string(data) {
		t.Errorf("%s: the cluster answers differently (run with -update and read the difference):\n%s", file, difference(string(data), text))
	}
}

// cluster is a leader without sockets: the agreed state, and what was heard.
type cluster struct {
	s       *state.State
	seen    map[string]planner.Observation
	nowMS   int64
	reasons map[uint64]string
	knobs   planner.Knobs
	out     bytes.Buffer
}

func newCluster() *cluster {
	return &cluster{
		s: state.New(), seen: map[string]planner.Observation{}, reasons: map[uint64]string{},
		knobs: planner.Knobs{DetectWithin: 2 * time.Second, ForgetAfter: 10 * time.Minute, FruitlessMost: 5},
	}
}

func (c *cluster) apply(cmd state.Command) {
	cmd.NowMS = c.nowMS
	data, err := cmd.Encode()
	if err == nil {
		cmd, err = state.Decode(data)
	}
	if err != nil {
		fmt.Fprintf(&c.out, "error: %v\n", err)
		return
	}
	next, result := state.Apply(c.s, c.s.Index+1, cmd)
	c.s = next
	for _, e := range result.Events {
		if e.Job != 0 {
			fmt.Fprintf(&c.out, "%s: %s\n", e.Name, e.Text)
		} else {
			fmt.Fprintf(&c.out, "worker %s: %s\n", e.Worker, e.Text)
		}
	}
	if result.Err != nil {
		fmt.Fprintf(&c.out, "error: %v\n", result.Err)
	}
}

// settle plans until there is nothing to do.
func (c *cluster) settle() {
	for range 10 {
		d := planner.Plan(c.s, c.seen, c.knobs, c.nowMS)
		for _, j := range c.s.ByUID() {
			if why := d.Reasons[j.UID]; why != c.reasons[j.UID] && why != "" {
				fmt.Fprintf(&c.out, "%s is %s: %s\n", j.Name, j.State, why)
			}
		}
		c.reasons = d.Reasons
		if len(d.Commands) == 0 {
			maps.DeleteFunc(c.seen, func(id string, _ planner.Observation) bool { return c.s.Workers[id] == nil })
			return
		}
		for _, cmd := range d.Commands {
			c.apply(cmd)
		}
	}
	fmt.Fprintln(&c.out, "error: the planner does not come to rest")
}

func (c *cluster) run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	verb, words := words[0], words[1:]
	var name string
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		name, words = words[0], words[1:]
	}
	a := args{t: t, line: line, values: map[string]string{}}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		a.values[k] = strings.ReplaceAll(v, "_", " ")
	}
	c.do(t, verb, name, a)
	c.settle()
}

type args struct {
	t      *testing.T
	line   string
	values map[string]string
}

func (a args) text(key, otherwise string) string {
	if v, ok := a.values[key]; ok {
		return v
	}
	return otherwise
}

func (a args) number(key string, otherwise uint64) uint64 {
	v, ok := a.values[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		a.t.Fatalf("%s: %v", a.line, err)
	}
	return n
}

func (a args) duration(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		a.t.Fatalf("%s: %v", a.line, err)
	}
	return d
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1,
		strings.Join(w[max(0, i-3):min(len(w), i+6)], "\n"), strings.Join(g[max(0, i-3):min(len(g), i+6)], "\n"))
}

// hear notes a heartbeat of a worker at this moment.
func (c *cluster) hear(id string) planner.Observation {
	o := c.seen[id]
	o.Idle = false
	o.Incarnation, o.Heard, o.Age, o.Interval = c.s.Workers[id].Incarnation, true, 0, 250*time.Millisecond
	return o
}

func (c *cluster) advance(d time.Duration, heard []string) {
	c.nowMS += d.Milliseconds()
	for id, o := range c.seen {
		o.Age += d
		o.Report.FailureAge += d
		c.seen[id] = o
	}
	for _, id := range heard {
		if id != "" {
			c.seen[id] = c.hear(id)
		}
	}
}

// pairs reads "k=v,k=v".
func pairs(text string) map[string]string {
	m := map[string]string{}
	for _, pair := range profiles(text) {
		k, v, _ := strings.Cut(pair, "=")
		m[k] = v
	}
	return m
}

func profiles(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}
