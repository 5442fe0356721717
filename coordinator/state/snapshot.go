package state

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// SnapshotFormat names the format of the snapshots that this package writes.
const SnapshotFormat = "sslctl-coordinator-state/2"

// snapshotFormats are those that this package reads. Format 1 knew no cordons and no events.
var snapshotFormats = []string{SnapshotFormat, "sslctl-coordinator-state/1"}

type snapshot struct {
	Format string `json:"format"`
	State  *State `json:"state"`
}

// Write writes s. Equal states give equal bytes.
func (s *State) Write(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(snapshot{Format: SnapshotFormat, State: s}); err != nil {
		return fmt.Errorf("write state snapshot: %w", err)
	}
	return nil
}

// Read reads what Write has written. It returns ErrVersion for a snapshot of another format.
func Read(r io.Reader) (*State, error) {
	var raw struct {
		Format string          `json:"format"`
		State  json.RawMessage `json:"state"`
	}
	if err := json.NewDecoder(r).Decode(&raw); err != nil {
		return nil, fmt.Errorf("read state snapshot: %w", err)
	}
	if !slices.Contains(snapshotFormats, raw.Format) {
		return nil, fmt.Errorf("read state snapshot of format %q, this program knows %q: %w", raw.Format, SnapshotFormat, ErrVersion)
	}
	s := New()
	if err := json.Unmarshal(raw.State, s); err != nil {
		return nil, fmt.Errorf("read state snapshot: %w", err)
	}
	return s, nil
}
