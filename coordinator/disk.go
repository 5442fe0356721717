package coordinator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// identity is in the data folder, so that a node is not started on another's.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	ID      string `json:"id"`
}

// diskFormat is the version of the data folder's layout: identity.json, raft.db, snapshots/.
const diskFormat = 1

// lockWithin is how long another process is waited for that has the data folder open.
const lockWithin = time.Second

// snapshotsKept is the number of snapshots on disk.
const snapshotsKept = 2

// disk is an open data folder.
type disk struct {
	log       *raftboltdb.BoltStore
	snapshots *raft.FileSnapshotStore
}

func openDisk(dir, cluster, id string, log hclog.Logger) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: cannot make the data folder %s of coordinator %s: %w; name a folder that can be written", ErrConfig, dir, id, err)
	}
	if err := claim(dir, cluster, id); err != nil {
		return nil, err
	}
	options := *bbolt.DefaultOptions
	options.Timeout = lockWithin
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), BoltOptions: &options})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("%w: the data folder %s is in use by another process; end it, or give coordinator %s a folder of its own", ErrConfig, dir, id)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: cannot open the log in the data folder %s of coordinator %s: %w; %s", ErrConfig, dir, id, err, remedy(err, restoreFolder))
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, log)
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("%w: cannot open the snapshots in the data folder %s of coordinator %s: %w; %s", ErrConfig, dir, id, err, remedy(err, restoreFolder))
	}
	return &disk{log: store, snapshots: snapshots}, nil
}

const restoreFolder = "restore the folder from a copy, or give an empty one"

// remedy is what to do about an error of the data folder; a full disk is no fault of what is on it.
func remedy(err error, otherwise string) string {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "free some space there"
	}
	return otherwise
}

func (d *disk) close() error { return d.log.Close() }

// entries is how many entries the log has.
func (d *disk) entries() (uint64, error) {
	first, err := d.log.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := d.log.LastIndex()
	if err != nil || last < first || last == 0 {
		return 0, err
	}
	return last - first + 1, nil
}

// claim checks whose folder dir is, and makes it ours if it is nobody's.
func claim(dir, cluster, id string) error {
	file := filepath.Join(dir, "identity.json")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = json.Marshal(identity{Format: diskFormat, Cluster: cluster, ID: id}); err == nil {
			err = writeWhole(file, append(data, '\n'))
		}
		if err != nil {
			return fmt.Errorf("%w: cannot write into the data folder %s of coordinator %s: %w; %s", ErrConfig, dir, id, err, remedy(err, "name a folder that can be written"))
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: cannot read the data folder %s of coordinator %s: %w", ErrConfig, dir, id, err)
	}
	var own identity
	if err := json.Unmarshal(data, &own); err != nil {
		return fmt.Errorf("%w: %s does not say whose data folder this is: %w; restore it, or give an empty folder", ErrConfig, file, err)
	}
	if own.Format != diskFormat {
		return fmt.Errorf("%w: the data folder %s has format %d, this program knows format %d; use the version that wrote it", ErrConfig, dir, own.Format, diskFormat)
	}
	if own.ID != id || own.Cluster != cluster {
		return fmt.Errorf("%w: the data folder %s belongs to coordinator %s of cluster %q, not to %s of %q; give each its own", ErrConfig, dir, own.ID, own.Cluster, id, cluster)
	}
	return nil
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(file string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
