package planner_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/coordinator/planner"
	"github.com/sslctl/sslctl/coordinator/state"
)

// do runs one command of a script.
func (c *cluster) do(t *testing.T, verb, name string, a args) {
	t.Helper()
	job := c.s.Job(name)
	if job == nil && !strings.Contains("worker submit report advance leader cordon drain uncordon", verb) {
		t.Fatalf("%s: no job %q", a.line, name)
	}
	switch verb {
	case "worker":
		c.apply(state.Command{Register: &state.Register{Worker: state.Worker{
			ID: name, Incarnation: a.number("incarnation", 1), Numerics: profiles(a.text("numerics", "amd64-fma/1,portable/1")),
			Labels: pairs(a.text("labels", "")),
		}}})
		c.seen[name] = planner.Observation{}
		c.seen[name] = c.hear(name)
	case "submit":
		c.apply(state.Command{Submit: &state.Submit{
			Name: name, RequestID: a.text("request", ""), Priority: int(a.number("priority", 0)), Spec: []byte("kind: PretrainJob\n"),
			Need: state.Requirements{
				WorkersMin: int(a.number("min", 1)), WorkersMax: int(a.number("max", 8)), VirtualRanks: int(a.number("v", 8)),
				Numerics: a.text("numerics", state.AutoNumerics), DetectWithinMS: a.duration(a.text("detect", "2s")).Milliseconds(),
				GlobalBatch: a.number("batch", 10), Epochs: 2, Selector: pairs(a.text("labels", "")),
			},
		}})
	case "report":
		c.report(name, a)
	case "plan", "ledger", "checkpoint", "evaluation", "exported", "remove":
		c.progress(job, verb, a)
	case "advance":
		c.advance(a.duration(name), strings.Split(a.text("hear", ""), ","))
	case "leader":
		for id := range c.seen {
			c.seen[id] = planner.Observation{Incarnation: c.s.Workers[id].Incarnation}
		}
	case "pause":
		c.apply(state.Command{Pause: &state.Pause{Job: job.UID, Final: planner.FinalOf(job, c.seen)}})
	case "resume":
		c.apply(state.Command{Resume: &state.Resume{Job: job.UID, Failed: true}})
	case "cancel":
		c.apply(state.Command{Cancel: &state.Cancel{Job: job.UID, Final: planner.FinalOf(job, c.seen)}})
	case "scale":
		least, most := int(a.number("min", uint64(job.Need.WorkersMin))), int(a.number("max", uint64(job.Need.WorkersMax)))
		why := planner.Scaling(c.s, c.seen, c.knobs, c.nowMS, job, least, most)
		c.apply(state.Command{Scale: &state.Scale{Job: job.UID, WorkersMin: least, WorkersMax: most, Reform: why}})
	case "delete":
		c.apply(state.Command{Delete: &state.Delete{Job: job.UID, Force: a.text("force", "") != "", Final: planner.FinalOf(job, c.seen)}})
	case "explain":
		c.explain(job)
	case "cordon", "drain":
		c.apply(state.Command{Cordon: &state.Cordoning{Worker: name, Drain: verb == "drain"}})
	case "uncordon":
		c.apply(state.Command{Uncordon: &state.Uncordon{Worker: name}})
	case "status":
		c.status(t, job)
	default:
		t.Fatalf("%s: no such command", a.line)
	}
}

func (c *cluster) report(id string, a args) {
	o := c.hear(id)
	o.Leaving, o.Idle = a.text("leaving", "") != "", a.text("idle", "") != ""
	if job, _ := c.s.Assigned(id, o.Incarnation); job != nil {
		r := planner.Report{
			Job: job.UID, Generation: a.number("generation", job.Generation), Phase: planner.Phase(a.text("phase", string(o.Report.Phase))),
			Detail: a.text("detail", ""), Step: a.number("step", o.Report.Step), Samples: a.number("samples", o.Report.Samples),
			RingBytesSent: a.number("ring", o.Report.RingBytesSent), BankBytes: a.number("bank", o.Report.BankBytes),
			Figures: state.Figures{Loss: state.Number(a.number("loss", uint64(o.Report.Figures.Loss)))},
		}
		if why := a.text("failure", ""); why != "" {
			r.Failure = &planner.Failure{Message: why, Permanent: a.text("permanent", "") != ""}
		}
		o.Report = r
	}
	c.seen[id] = o
}

// progress is what rank 0 of a job's newest generation commits.
func (c *cluster) progress(j *state.Job, verb string, a args) {
	generation := a.number("generation", j.Generation)
	p := &state.Progress{Job: j.UID, Generation: generation}
	if len(j.Members) > 0 {
		p.Worker, p.Incarnation = j.Members[0].Worker, j.Members[0].Incarnation
	}
	p.Worker = a.text("worker", p.Worker)
	step := a.number("step", j.Committed())
	switch verb {
	case "plan":
		p.Plan = &state.Plan{SamplesPerEpoch: a.number("samples", 100), StepsTotal: a.number("steps", 20)}
		p.Shards = []state.Shard{{Name: "train-0.tar", Samples: p.Plan.SamplesPerEpoch}}
	case "ledger":
		p.Ledger = []state.Entry{{
			Generation: generation, First: a.number("first", j.Committed()), Last: a.number("last", 0),
			Skipped: a.number("skipped", 0), Digest: a.text("digest", fmt.Sprintf("d%d", a.number("last", 0))),
		}}
	case "checkpoint":
		p.Checkpoints = []state.Checkpoint{{Step: step, URI: fmt.Sprintf("ckpt/%d", step), Digest: fmt.Sprintf("c%d", step)}}
	case "evaluation":
		p.Evaluations = []state.Evaluation{{Step: step, Values: map[string]state.Number{a.text("name", "knn.top1"): 0.5}}}
	case "exported":
		p.Exported = a.text("uri", "")
	case "remove":
		p.Removed = []string{fmt.Sprintf("ckpt/%d", step)}
	}
	c.apply(state.Command{Progress: p})
}

// explain prints what an operator is told.
func (c *cluster) explain(j *state.Job) {
	e := planner.Explain(c.s, c.seen, c.knobs, c.nowMS, j)
	fmt.Fprintf(&c.out, "%s needs %s\n", j.Name, e.Needs)
	for _, v := range e.Workers {
		fmt.Fprintf(&c.out, "  %s can=%t %s\n", v.Worker, v.Can, v.Why)
	}
	for _, next := range e.Next {
		fmt.Fprintf(&c.out, "  > %s\n", next)
	}
}

// status prints a job, and checks that the state survives a snapshot.
func (c *cluster) status(t *testing.T, j *state.Job) {
	t.Helper()
	fmt.Fprintf(&c.out, "%s %s (%s) generation %d committed %d repeated %d fruitless %d numerics %q\n",
		j.Name, j.State, j.Reason, j.Generation, j.Committed(), j.Repeated, j.Fruitless, j.Numerics)
	for r, m := range j.Members {
		fmt.Fprintf(&c.out, "  rank %d: %s.%d virtual ranks [%d, %d) samples %d ring %d bank %d %s\n", r, m.Worker, m.Incarnation, m.Lo, m.Hi,
			m.Samples, m.RingBytesSent, m.BankBytes, m.Phase)
	}
	for e := range j.Ledger.All() {
		fmt.Fprintf(&c.out, "  generation %d: (%d, %d] %s\n", e.Generation, e.First, e.Last, e.Digest)
	}
	for _, k := range j.Checkpoints {
		fmt.Fprintf(&c.out, "  checkpoint %d %s\n", k.Step, k.URI)
	}
	for _, e := range j.Evaluations {
		fmt.Fprintf(&c.out, "  evaluation %d: %d values\n", e.Step, len(e.Values))
	}
	if j.Rejected != (state.Rejected{}) {
		fmt.Fprintf(&c.out, "  rejected: %+v\n", j.Rejected)
	}
	var first, second bytes.Buffer
	if err := c.s.Write(&first); err != nil {
		t.Fatal(err)
	}
	again, err := state.Read(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("a snapshot does not read back as it was: %v", err)
	}
	c.s = again
}
