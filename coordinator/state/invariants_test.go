package state_test

import (
	"fmt"

	"github.com/sslctl/sslctl/coordinator/state"
)

// check returns the first invariant that s breaks.
func check(s *state.State) error {
	names, busy := map[string]uint64{}, map[string]uint64{}
	for _, j := range s.ByUID() {
		if err := checkJob(s, j); err != nil {
			return fmt.Errorf("job %d (%s): %w", j.UID, j.State, err)
		}
		if !j.State.Ended() {
			if other, taken := names[j.Name]; taken {
				return fmt.Errorf("jobs %d and %d live under the name %q", other, j.UID, j.Name)
			}
			names[j.Name] = j.UID
		}
		if !j.State.Active() {
			continue
		}
		for _, m := range j.Members {
			process := fmt.Sprint(m.Worker, ".", m.Incarnation)
			if other, taken := busy[process]; taken {
				return fmt.Errorf("jobs %d and %d both have worker %s", other, j.UID, process)
			}
			busy[process] = j.UID
		}
	}
	return nil
}

func checkJob(s *state.State, j *state.Job) error {
	if j.UID == 0 || j.UID > s.Index {
		return fmt.Errorf("its uid is no index of the log, which ends at %d", s.Index)
	}
	end, generation := uint64(0), uint64(0)
	for e := range j.Ledger.All() {
		if e.First != end || e.Last <= e.First || e.Generation < generation || e.Generation > j.Generation {
			return fmt.Errorf("ledger entry %+v after step %d of generation %d", e, end, generation)
		}
		end, generation = e.Last, e.Generation
	}
	if end != j.Committed() || (j.Plan != nil && end > j.Plan.StepsTotal) {
		return fmt.Errorf("the ledger ends at %d, committed is %d, plan %+v", end, j.Committed(), j.Plan)
	}
	for i, c := range j.Checkpoints {
		if c.Step > end || (i > 0 && c.Step <= j.Checkpoints[i-1].Step) {
			return fmt.Errorf("checkpoints %+v, committed is %d", j.Checkpoints, end)
		}
	}
	for i, e := range j.Evaluations {
		if e.Step > end || (i > 0 && e.Step <= j.Evaluations[i-1].Step) {
			return fmt.Errorf("evaluations %+v, committed is %d", j.Evaluations, end)
		}
	}
	if j.State.Active() {
		if j.StartStep > end || len(j.Members) < 1 || len(j.Members) > j.Need.VirtualRanks {
			return fmt.Errorf("generation %d starts at %d with %d members, committed is %d", j.Generation, j.StartStep, len(j.Members), end)
		}
		next := 0
		for _, m := range j.Members {
			if m.Lo != next || m.Hi <= m.Lo {
				return fmt.Errorf("members %+v do not share out the virtual ranks", j.Members)
			}
			next = m.Hi
		}
		if next != j.Need.VirtualRanks || j.Numerics == "" {
			return fmt.Errorf("members %+v of %d virtual ranks, numerics %q", j.Members, j.Need.VirtualRanks, j.Numerics)
		}
	}
	if j.State.Ended() != (j.EndedMS != 0) {
		return fmt.Errorf("it ended at %d", j.EndedMS)
	}
	return nil
}
