package coordinator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// A full disk is told as such: what is in the data folder is not to be thrown away for it.
func TestDiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, "raft.db")); err != nil { // each write fails with the kernel's own ENOSPC
		t.Fatal(err)
	}
	_, err := openDisk(dir, "test", "a", hclog.NewNullLogger())
	if !errors.Is(err, ErrConfig) || !errors.Is(err, syscall.ENOSPC) || !strings.HasSuffix(err.Error(), "no space left on device; free some space there") {
		t.Errorf("got %v", err)
	}
}

func TestDiskThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "raft.db"), []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openDisk(dir, "test", "a", hclog.NewNullLogger())
	if !errors.Is(err, ErrConfig) || !strings.HasSuffix(err.Error(), "; restore the folder from a copy, or give an empty one") {
		t.Errorf("got %v", err)
	}
}
