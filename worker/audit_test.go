package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/shard"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func entry(generation, first, last uint64, digest string) *sslctlv1.LedgerEntry {
	return &sslctlv1.LedgerEntry{Generation: generation, FirstStep: first, LastStep: last, Digest: digest}
}

// expect compares the violations with what they should say, one by one.
func expect(t *testing.T, a *Audit, want ...string) {
	t.Helper()
	if len(a.Violations) != len(want) {
		t.Fatalf("violations %q, want %q", a.Violations, want)
	}
	for i, v := range a.Violations {
		if !strings.Contains(v, want[i]) {
			t.Errorf("violation %q, want %q", v, want[i])
		}
	}
}

// Whatever is edited in a ledger shows.
func TestAuditOfALedger(t *testing.T) {
	job := func(change func(*sslctlv1.Job)) *sslctlv1.Job {
		j := &sslctlv1.Job{
			State: sslctlv1.JobState_JOB_STATE_COMPLETED, Generation: 2, CommittedStep: 12, StepsTotal: 12, Digest: "c",
			Ledger: []*sslctlv1.LedgerEntry{entry(1, 0, 4, "a"), entry(1, 4, 6, ""), entry(2, 6, 12, "c")},
		}
		change(j)
		return j
	}
	for _, test := range []struct {
		name   string
		change func(*sslctlv1.Job)
		want   []string
	}{
		{"as it was", func(*sslctlv1.Job) {}, nil},
		{"a gap", func(j *sslctlv1.Job) { j.Ledger[1].FirstStep = 5 }, []string{"no entry covers the steps 5 to 5, before entry 2"}},
		{"an overlap", func(j *sslctlv1.Job) { j.Ledger[2].FirstStep = 4 }, []string{"entry 3 begins again at step 5, the one before ends at 6"}},
		{"an entry lost", func(j *sslctlv1.Job) { j.Ledger = j.Ledger[:2] }, []string{"ends at step 6, committed are 12", "does not end with the digest"}},
		{"an older generation", func(j *sslctlv1.Job) { j.Ledger[1].Generation = 2; j.Ledger[2].Generation = 1 }, []string{"entry 3 is of generation 1, after one of 2"}},
		{"another digest", func(j *sslctlv1.Job) { j.Ledger[2].Digest = "d" }, []string{"does not end with the digest c"}},
		{"more skipped than steps", func(j *sslctlv1.Job) { j.Ledger[0].Skipped = 5 }, []string{"which makes no sense"}},
		{"stopped early", func(j *sslctlv1.Job) { j.StepsTotal = 13 }, []string{"completed with 12 of 13 steps"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a Audit
			a.ledger(job(test.change))
			expect(t, &a, test.want...)
		})
	}
}

// The real order is clean; a sample that comes twice, a ledger with a gap and one with an overlap are not.
func TestAuditOfTheOrder(t *testing.T) {
	const n, b, steps = 103, 8, 25 // 200 positions: one epoch and most of a second
	order, err := shard.NewOrder(shard.Shape{Shards: []uint64{40, 0, 63}, Bytes: 1000}, shard.OrderOptions{Seed: 3, Batch: b, VirtualRanks: 4, Window: 16})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(id uint64) string { return fmt.Sprint("#", id) }
	replay := func(sample func(uint64) uint64, ledger ...*sslctlv1.LedgerEntry) *Audit {
		a := &Audit{}
		if err := a.replay(t.Context(), ledger, b, n, sample, describe); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := replay(order.Sample, entry(1, 0, 10, ""), entry(2, 10, steps, ""))
	expect(t, a)
	if len(a.Epochs) != 2 || a.Epochs[0] != (EpochAudit{1, n, n}) || a.Epochs[1] != (EpochAudit{2, steps*b - n, n}) || a.Positions != steps*b {
		t.Errorf("epochs %+v, %d positions", a.Epochs, a.Positions)
	}
	doubled := func(pos uint64) uint64 {
		if pos == 50 {
			pos = 20
		}
		return order.Sample(pos)
	}
	expect(t, replay(doubled, entry(1, 0, steps, "")), describe(order.Sample(20))+" is used twice in epoch 1, the second time at position 50 (step 7)",
		"epoch 1 leaves out 1 samples, the first is "+describe(order.Sample(50)))
	gap := replay(order.Sample, entry(1, 0, 5, ""), entry(1, 6, steps, ""))
	expect(t, gap, "epoch 1 leaves out 8 samples")
	if overlap := replay(order.Sample, entry(1, 0, 5, ""), entry(1, 4, steps, "")); len(overlap.Violations) != b {
		t.Errorf("a step that is there twice: %q", overlap.Violations)
	}
}
