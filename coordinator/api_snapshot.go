package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"github.com/sslctl/sslctl/coordinator/snapshot"
	"github.com/sslctl/sslctl/coordinator/state"
	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// snapshotPiece is the most bytes of a snapshot in one message.
const snapshotPiece = 256 << 10

// indexesLeft is how many indexes of the log a restored group leaves out. The cluster that the snapshot came from may have gone on after
// it, and a job's UID is an index: none may come twice.
const indexesLeft = 1 << 20

// restoreWithin bounds how long a majority may take to have a restored snapshot.
const restoreWithin = 2 * time.Minute

// SaveSnapshot streams the newest agreed state as one file.
func (a *operatorService) SaveSnapshot(_ context.Context, _ *connect.Request[pb.SaveSnapshotRequest], out *connect.ServerStream[pb.SaveSnapshotResponse]) error {
	n := a.n
	_, s, err := n.current()
	if err != nil {
		return err
	}
	meta := snapshot.Meta{
		Cluster: n.cfg.Cluster, Coordinator: n.cfg.ID, Version: n.cfg.Version, Index: s.Index, Term: n.raft.CurrentTerm(), SavedUnixMS: time.Now().UnixMilli(),
	}
	var file bytes.Buffer
	if err := snapshot.Write(&file, meta, s); err != nil {
		return connect.NewError(connect.CodeInternal, err)
	}
	for file.Len() > 0 {
		if err := out.Send(&pb.SaveSnapshotResponse{Data: file.Next(snapshotPiece)}); err != nil {
			return err
		}
	}
	return nil
}

// RestoreSnapshot replaces the agreed state. Nothing has changed before the whole file is here and verified.
func (a *operatorService) RestoreSnapshot(_ context.Context, in *connect.ClientStream[pb.RestoreSnapshotRequest]) (*connect.Response[pb.RestoreSnapshotResponse], error) {
	n := a.n
	file := &received{in: in}
	meta, s, err := snapshot.Read(file)
	if err != nil {
		if errors.Is(err, snapshot.ErrFormat) || errors.Is(err, snapshot.ErrDamaged) {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		return nil, connect.NewError(connect.CodeAborted, fmt.Errorf("receive the snapshot: %w", err))
	}
	t, now, err := n.current()
	if err != nil {
		return nil, err
	}
	switch {
	case file.force:
	case len(now.Jobs) > 0:
		return nil, precondition("this cluster has jobs (%d); restoring replaces all of them by those of the snapshot: --force does it", len(now.Jobs))
	case meta.Cluster != n.cfg.Cluster:
		return nil, precondition("the snapshot is of cluster %q, this one is %q; --force restores it here all the same", meta.Cluster, n.cfg.Cluster)
	}
	why := fmt.Sprintf("restored from a snapshot of %s", time.UnixMilli(meta.SavedUnixMS).UTC().Format(time.RFC3339))
	restored := state.Restored(s, time.Now().UnixMilli(), why)
	if err := n.restore(meta, restored); err != nil {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("restore the snapshot on a majority of the coordinators: %w; sslctl list shows whether it has come about", err))
	}
	n.log.Warn("restored a snapshot", zap.String("of", meta.Cluster), zap.Uint64("index", meta.Index), zap.Int("jobs", len(restored.Jobs)))
	t.kick()
	res := &pb.RestoreSnapshotResponse{Index: n.raft.LastIndex()}
	for _, j := range restored.ByUID() {
		step := j.Committed()
		if !j.State.Ended() {
			step = j.Newest().Step
		}
		res.Jobs = append(res.Jobs, &pb.RestoredJob{Uid: fmt.Sprint(j.UID), Name: j.Name, State: jobStates[j.State], Step: step})
	}
	return connect.NewResponse(res), nil
}

// restore makes s the agreed state, on this node and then on a majority.
func (n *Node) restore(meta snapshot.Meta, s *state.State) error {
	var text bytes.Buffer
	if err := s.Write(&text); err != nil {
		return err
	}
	external := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: max(meta.Index, n.raft.LastIndex()) + indexesLeft, Term: meta.Term, Size: int64(text.Len())}
	if !n.futures.enter() {
		return ErrClosed
	}
	defer n.futures.leave()
	return n.raft.Restore(external, &text, restoreWithin)
}

// received reads what a client streams.
type received struct {
	in    *connect.ClientStream[pb.RestoreSnapshotRequest]
	rest  []byte
	begun bool
	force bool
}

func (r *received) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if !r.in.Receive() {
			if err := r.in.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if !r.begun {
			r.begun, r.force = true, r.in.Msg().Force
		}
		r.rest = r.in.Msg().Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
