package state

import "maps"

// generationsLeft is how many numbers of generations a restored job leaves out. The cluster that the snapshot came from may have gone on
// after it: none of its generations may be taken for one that comes now.
const generationsLeft = 1 << 16

// Restored is s, from a snapshot, as a cluster begins with it: no worker is known, and what ran waits for workers and will go on from its
// newest checkpoint. why is what such jobs say about it.
func Restored(s *State, nowMS int64, why string) *State {
	t := &transition{
		next:  &State{Index: s.Index + 1, Jobs: maps.Clone(s.Jobs), Workers: map[string]*Worker{}, Cordons: s.Cordons, Events: s.Events},
		nowMS: nowMS,
	}
	for _, old := range s.ByUID() {
		if old.State.Ended() && old.State != Failed { // what has failed may be resumed here, as it may have been there
			continue
		}
		job := *old
		t.next.Jobs[job.UID] = &job
		job.Generation += generationsLeft
		job.GenerationsLeft += generationsLeft
		if !job.State.Active() {
			continue
		}
		t.close(&job, nil, true, false)
		to := Waiting
		if old.State == Pausing {
			to = Paused
		}
		t.move(&job, to, why)
		t.event(&job, EventRestored, "%s: the job is %s and goes on from step %d", why, to, job.Newest().Step)
	}
	return t.next
}
