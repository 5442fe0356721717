package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sslctl/sslctl/coordinator/planner"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// workerIDs are those of the registered workers, and of cordoned ones that are away.
func (v *view) workerIDs() []string {
	ids := slices.Collect(maps.Keys(v.s.Workers))
	ids = slices.AppendSeq(ids, maps.Keys(v.s.Cordons))
	slices.Sort(ids)
	return slices.Compact(ids)
}

// worker shows the worker of an id.
func (v *view) worker(id string, detectWithin time.Duration) *pb.Worker {
	cordon, cordoned := v.s.Cordons[id]
	w := v.s.Workers[id]
	if w == nil {
		return &pb.Worker{Id: id, State: "away", Cordoned: cordoned}
	}
	o := v.seen[id]
	out := &pb.Worker{
		Id: w.ID, Incarnation: w.Incarnation, Host: w.Host, Version: w.Version, Numerics: w.Numerics, Labels: w.Labels,
		Cores: int32(w.Cores), State: "free", LastSeenMsAgo: o.Age.Milliseconds(), Cordoned: cordoned,
	}
	job, rank := v.s.Assigned(w.ID, w.Incarnation)
	if job != nil {
		out.JobUid, out.JobName, out.Rank = fmt.Sprint(job.UID), job.Name, uint32(rank)
	}
	if o.Heard && !o.Idle && o.Report.Job != 0 {
		out.WorkingForUid = fmt.Sprint(o.Report.Job)
	}
	switch {
	case planner.Lost(job, o, detectWithin):
		out.State = "lost"
	case o.Leaving:
		out.State = "leaving"
	case job != nil && cordon.Drain:
		out.State = "draining"
	case job != nil:
		out.State = "busy"
	case cordon.Drain:
		out.State = "drained"
	case cordoned:
		out.State = "cordoned"
	}
	return out
}
