package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/coordinator/snapshot"
	"github.com/sslctl/sslctl/coordinator/state"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func newOperatorSnapshotCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Back up what the coordinators have agreed on, and restore it",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSnapshotSaveCommand(g), newSnapshotInspectCommand(g), newSnapshotRestoreCommand(g))
	return cmd
}

func newSnapshotSaveCommand(g *globals) *cobra.Command {
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Write everything that the coordinators have agreed on to a file",
		Long: `Writes jobs, ledgers and what is known of workers and checkpoints to FILE: everything that was acknowledged before the call. FILE is there whole
and verified, or not at all; one that is there is replaced with --overwrite alone. The checkpoints themselves are not in it; they stay where the jobs' checkpoint.uri is.`,
		Example: "  sslctl operator snapshot save sslctl-$(date +%F).snap",
		Args:    arguments(1, 1, "the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSnapshotSave(cmd.Context(), g, args[0], overwrite)
		},
	}
	addOverwriteFlag(cmd, &overwrite)
	return cmd
}

func runSnapshotSave(ctx context.Context, g *globals, file string, overwrite bool) error {
	if err := checkNew("writing the snapshot", file, overwrite); err != nil {
		return err
	}
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	data, err := c.saveSnapshot(ctx)
	if err != nil {
		return err
	}
	meta, s, err := snapshot.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("verifying the snapshot received: %w", err)
	}
	if err := writeWhole(file, data); err != nil {
		return &inputError{fmt.Errorf("writing the snapshot to %s: %w; name a file in a folder that can be written", file, withoutPath(err))}
	}
	return g.print(reportSnapshot(file, len(data), meta, s), func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "%s: cluster %s at index %d, %d jobs, %s\n", file, meta.Cluster, meta.Index, len(s.Jobs), bytesText(uint64(len(data))))
	})
}

func (c *client) saveSnapshot(ctx context.Context) ([]byte, error) {
	type saved struct{ data []byte }
	m, err := call(ctx, c, "saving a snapshot", func(ctx context.Context, e endpoint) (*connect.Response[saved], error) {
		stream, err := e.operator.SaveSnapshot(ctx, connect.NewRequest(&sslctlv1.SaveSnapshotRequest{}))
		if err != nil {
			return nil, err
		}
		var s saved
		for stream.Receive() {
			s.data = append(s.data, stream.Msg().Data...)
		}
		return connect.NewResponse(&s), errors.Join(stream.Err(), stream.Close())
	})
	if err != nil {
		return nil, err
	}
	return m.data, nil
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(file string, data []byte) error {
	t, err := createBeside(file)
	if err != nil {
		return err
	}
	_, err = t.Write(data)
	if err = errors.Join(err, t.Sync(), t.Close()); err == nil {
		err = os.Rename(t.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return nil
}

func newSnapshotInspectCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Verify a snapshot and tell what is in it",
		Long:  `Verifies the sums of a snapshot and tells of which cluster it is, when it was taken, and what jobs are in it. No coordinator is asked.`,
		Args:  arguments(1, 1, "the snapshot"),
		RunE:  func(_ *cobra.Command, args []string) error { return runSnapshotInspect(g, args[0]) },
	}
}

func runSnapshotInspect(g *globals, file string) error {
	data, meta, s, err := readSnapshot(file)
	if err != nil {
		return err
	}
	r := reportSnapshot(file, len(data), meta, s)
	return g.print(r, func(w io.Writer, _ bool) {
		columns(w, [][]string{
			{"file", fmt.Sprintf("%s, %s, sums verified", file, bytesText(uint64(r.Bytes)))},
			{"format", r.Format + " with " + r.StateFormat},
			{"cluster", r.Cluster},
			{"saved", fmt.Sprintf("%s by coordinator %s, sslctl %s", r.Saved, r.Coordinator, r.Version)},
			{"index", fmt.Sprintf("%d of term %d", r.Index, r.Term)},
			{"state", fmt.Sprintf("%s: %d jobs, %d workers", bytesText(uint64(r.StateBytes)), len(r.Jobs), r.Workers)},
		})
		if len(r.Jobs) == 0 {
			return
		}
		rows := [][]string{{"NAME", "UID", "STATE", "STEP", "LEDGER", "CHECKPOINTS", "NEWEST CHECKPOINT"}}
		for _, j := range r.Jobs {
			rows = append(rows, []string{j.Job, j.UID, j.State, fmt.Sprint(j.StepsCommitted), fmt.Sprint(j.LedgerEntries), fmt.Sprint(j.Checkpoints), j.Checkpoint})
		}
		fmt.Fprintln(w)
		columns(w, rows)
	})
}

func readSnapshot(file string) ([]byte, snapshot.Meta, *state.State, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, snapshot.Meta{}, nil, &inputError{fmt.Errorf("reading the snapshot: %w", err)}
	}
	meta, s, err := snapshot.Read(bytes.NewReader(data))
	if err != nil {
		return nil, meta, nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, meta, s, nil
}

// snapshotReport is a snapshot as -o json and -o yaml show it.
type snapshotReport struct {
	File        string              `json:"file"`
	Bytes       int                 `json:"bytes"`
	Format      string              `json:"format"`
	StateFormat string              `json:"stateFormat"`
	Cluster     string              `json:"cluster"`
	Coordinator string              `json:"coordinator"`
	Version     string              `json:"version"`
	Saved       string              `json:"saved"`
	Index       uint64              `json:"index"`
	Term        uint64              `json:"term"`
	StateBytes  int64               `json:"stateBytes"`
	Workers     int                 `json:"workers"`
	Jobs        []snapshotJobReport `json:"jobs"`
}

type snapshotJobReport struct {
	Job            string `json:"job"`
	UID            string `json:"uid"`
	State          string `json:"state"`
	StepsCommitted uint64 `json:"stepsCommitted"`
	LedgerEntries  int    `json:"ledgerEntries"`
	Checkpoints    int    `json:"checkpoints"`
	Checkpoint     string `json:"checkpoint"` // the newest
}

func reportSnapshot(file string, size int, meta snapshot.Meta, s *state.State) snapshotReport {
	r := snapshotReport{
		File: file, Bytes: size, Format: meta.Format, StateFormat: meta.StateFormat, Cluster: meta.Cluster, Coordinator: meta.Coordinator,
		Version: meta.Version, Saved: timeText(meta.SavedUnixMS), Index: meta.Index, Term: meta.Term, StateBytes: meta.StateBytes,
		Workers: len(s.Workers), Jobs: []snapshotJobReport{},
	}
	for _, j := range s.ByUID() {
		r.Jobs = append(r.Jobs, snapshotJobReport{j.Name, fmt.Sprint(j.UID), string(j.State), j.Committed(), j.Ledger.Len(), len(j.Checkpoints), j.Newest().URI})
	}
	return r
}

func newSnapshotRestoreCommand(g *globals) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace what the coordinators have agreed on by a snapshot",
		Long: `Verifies FILE and makes a running coordinator group have what is in it: usually a new group, after the old one was lost with all its disks.
Nothing changes if the file is damaged or of another format.

Jobs that ran when the snapshot was taken wait for workers, which register by themselves, and go on from the newest checkpoint that the snapshot
knows, with the same bits; paused jobs stay paused. That checkpoint must still be there: save snapshots more often than spec.checkpoint.keep lets
checkpoints go. Steps that were done after the snapshot are done again.

Where the error says that the leadership was lost on the way, look with sslctl list whether the jobs are there, and else restore again.

A group that has jobs already is refused, since all of them would be replaced, and so is a snapshot of a cluster of another name; --force does it
all the same.`,
		Example: "  sslctl operator snapshot restore sslctl-2026-01-31.snap",
		Args:    arguments(1, 1, "the snapshot"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSnapshotRestore(cmd.Context(), g, args[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the jobs that are there, or take the snapshot of a cluster of another name")
	return cmd
}

func runSnapshotRestore(ctx context.Context, g *globals, file string, force bool) error {
	data, meta, _, err := readSnapshot(file)
	if err != nil {
		return err
	}
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.listPeers(ctx); err != nil { // find one that answers: a restore is not tried twice
		return err
	}
	res, err := c.restoreSnapshot(ctx, data, force)
	if err != nil {
		return err
	}
	type restoredJob struct {
		Job   string `json:"job"`
		UID   string `json:"uid"`
		State string `json:"state"`
		Step  uint64 `json:"step"`
	}
	jobs := []restoredJob{}
	for _, j := range res.Jobs {
		jobs = append(jobs, restoredJob{j.Name, j.Uid, stateName(j.State), j.Step})
	}
	report := map[string]any{"file": file, "saved": timeText(meta.SavedUnixMS), "index": res.Index, "jobs": jobs}
	return g.print(report, func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "restored %s, saved %s: %d jobs\n", file, timeText(meta.SavedUnixMS), len(jobs))
		if len(jobs) == 0 {
			return
		}
		rows := [][]string{{"NAME", "UID", "STATE", "AT STEP"}}
		for _, j := range jobs {
			rows = append(rows, []string{j.Job, j.UID, j.State, fmt.Sprint(j.Step)})
		}
		fmt.Fprintln(w)
		columns(w, rows)
	})
}

const (
	// restoreWithin is how long a restore may take: every coordinator writes the whole state.
	restoreWithin = 3 * time.Minute
	// restorePiece is the most bytes of a snapshot in one message.
	restorePiece = 256 << 10
)

func (c *client) restoreSnapshot(ctx context.Context, data []byte, force bool) (*sslctlv1.RestoreSnapshotResponse, error) {
	const doing = "restoring the snapshot"
	ctx, cancel := context.WithTimeout(ctx, restoreWithin)
	defer cancel()
	stream := c.endpoints[c.current].operator.RestoreSnapshot(ctx)
	for first := true; first || len(data) > 0; first = false {
		piece := data[:min(len(data), restorePiece)]
		data = data[len(piece):]
		if err := stream.Send(&sslctlv1.RestoreSnapshotRequest{Data: piece, Force: force}); err != nil {
			break // the answer says why
		}
	}
	m, err := stream.CloseAndReceive()
	if api := new(connect.Error); errors.As(err, &api) {
		return nil, &apiError{doing, api}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return m.Msg, nil
}
