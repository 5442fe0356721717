package coordinator

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/sslctl/sslctl/internal/bus"
	contract "github.com/sslctl/sslctl/proto"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

const (
	// tailEvery is how long lines are gathered before they are sent: those of different processes arrive out of order.
	tailEvery = 200 * time.Millisecond
	// tailLinger is how long nothing may have been logged about a job that has ended before its stream does: workers come to their end later.
	tailLinger = time.Second
	// tailBatch is the number of lines in one message.
	tailBatch = 100
)

// logService shows the logs of jobs, on the leader.
type logService struct{ n *Node }

// Tail sends the lines about a job.
func (a *logService) Tail(ctx context.Context, req *connect.Request[pb.TailRequest], out *connect.ServerStream[pb.TailResponse]) error {
	return streamed(ctx, a.n, req, out, func() error { return a.tail(ctx, req.Msg, out) },
		func(ctx context.Context, c *http.Client, at string, r *connect.Request[pb.TailRequest]) (*connect.ServerStreamForClient[pb.TailResponse], error) {
			return sslctlv1connect.NewLogServiceClient(c, at).Tail(ctx, r)
		})
}

func (a *logService) tail(ctx context.Context, m *pb.TailRequest, out *connect.ServerStream[pb.TailResponse]) error {
	t, s, err := a.n.current()
	if err != nil {
		return err
	}
	j, err := find(s, m.Job)
	if err != nil {
		return err
	}
	uid := j.UID
	if !m.Follow {
		lines, _, leftOut := a.n.logs.since(fmt.Sprint(uid), 0)
		_, err := sendLines(out, m, lines, leftOut)
		return err
	}
	pause := time.NewTimer(tailEvery)
	defer pause.Stop()
	for next, quietSince, said := uint64(0), time.Now(), time.Now(); ; {
		logged, changed := a.n.logs.changed.next(), a.n.changed.next()
		j := a.n.fsm.state.Load().Jobs[uid]
		lines, after, leftOut := a.n.logs.since(fmt.Sprint(uid), next)
		if next = after; len(lines) > 0 || leftOut > 0 {
			quietSince = time.Now()
			sent, err := sendLines(out, m, lines, leftOut)
			if err != nil {
				return err
			}
			if sent {
				said = quietSince
			}
		}
		patience := streamAlive - time.Since(said)
		if j == nil || j.State.Ended() {
			if time.Since(quietSince) >= tailLinger {
				return nil
			}
			patience, changed = min(patience, tailLinger), nil
		}
		quiet, err := waitQuietly(ctx, t, patience, logged, changed)
		if err != nil {
			return err
		}
		if quiet && time.Since(said) >= streamAlive {
			if err := out.Send(&pb.TailResponse{}); err != nil {
				return err
			}
			said = time.Now()
		}
		pause.Reset(tailEvery)
		if err := wait(ctx, t, pause.C); err != nil {
			return err
		}
	}
}

// sendLines sends those lines that the request wants, and tells whether there were any.
func sendLines(out *connect.ServerStream[pb.TailResponse], m *pb.TailRequest, lines []*pb.LogLine, leftOut uint64) (sent bool, err error) {
	response := &pb.TailResponse{LeftOut: leftOut}
	for _, line := range lines {
		if line.UnixNano < m.SinceUnixMs*int64(time.Millisecond) || line.Level < m.Level || m.WorkerId != "" && line.WorkerId != m.WorkerId {
			continue
		}
		response.Lines = append(response.Lines, line)
		if len(response.Lines) == tailBatch {
			if err := out.Send(response); err != nil {
				return true, err
			}
			response, sent = &pb.TailResponse{}, true
		}
	}
	if len(response.Lines) == 0 && response.LeftOut == 0 {
		return sent, nil
	}
	return true, out.Send(response)
}

// newPost connects the node's logs with those of all other processes.
func (n *Node) newPost() *bus.Post {
	p := bus.NewPost("coordinator-"+n.cfg.ID, n.cfg.NATSURLs, func() { n.metrics.LostLines.Inc() }, n.cfg.Logger)
	p.Receive(contract.LogSubject(n.cfg.Cluster, ">"), func(data []byte) {
		line := new(pb.LogLine)
		if err := proto.Unmarshal(data, line); err == nil && line.JobUid != "" { // else it is not of this program
			n.logs.add(line)
		}
	})
	return p
}

// ownLine takes a line that this node has logged itself.
func (n *Node) ownLine(line *pb.LogLine) {
	line.Lost = n.post.Lost()
	n.logs.add(line)
	data, err := proto.Marshal(line)
	if err != nil {
		return // text that is not UTF-8; the others do without
	}
	n.post.Send(contract.LogSubject(n.cfg.Cluster, line.JobUid), data)
}
