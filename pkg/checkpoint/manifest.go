package checkpoint

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// FormatVersion is the version of the layout and the manifest that this package writes.
const FormatVersion = 1

// Replicated stands in for a virtual rank where a file or tensor is shared by all of them.
const Replicated = -1

const (
	manifestFile   = "manifest.json"
	replicatedFile = "replicated.safetensors"
	maxManifest    = 16 << 20 // bytes; 64 virtual ranks take some 20 KB
	maxFolderStep  = 9_999_999_999
)

// Job names the job that wrote a checkpoint.
type Job struct {
	UID  uint64 `json:"uid"`
	Name string `json:"name"`
}

// FileEntry is one tensor file of a checkpoint.
type FileEntry struct {
	Name        string `json:"name"`        // within the checkpoint's folder
	Size        int64  `json:"size"`        // bytes
	SHA256      string `json:"sha256"`      // of the whole file, hex
	VirtualRank int    `json:"virtualRank"` // whose tensors they are; Replicated for those of all
}

// Manifest says what a checkpoint holds. It is written after all files: its presence makes them a checkpoint.
type Manifest struct {
	FormatVersion int               `json:"formatVersion"`
	Job           Job               `json:"job"`
	Step          uint64            `json:"step"`       // updates that the state has seen, skipped ones included
	Generation    uint64            `json:"generation"` // of the membership that wrote it
	Samples       uint64            `json:"samples"`    // positions of the stream consumed
	Skipped       uint64            `json:"skipped"`    // steps skipped because of non-finite values
	Counters      map[string]uint64 `json:"counters,omitempty"`
	Trainer       json.RawMessage   `json:"trainer,omitempty"` // what the trainer goes on with beside the tensors: loss sums and the like
	Numerics      string            `json:"numerics"`          // profile that made the bits, for example "amd64-fma/1"
	VirtualRanks  int               `json:"virtualRanks"`
	SpecSHA256    string            `json:"specSha256"` // of the job's specification
	Digest        string            `json:"digest"`     // see Digest
	Files         []FileEntry       `json:"files"`
}

// Dir is the folder of the checkpoint of a step. Folders sort by step.
func Dir(step uint64) string { return fmt.Sprintf("step-%010d", step) }

// FileName is the name of the file of a virtual rank (or Replicated) in a checkpoint's folder.
func FileName(virtualRank int) string {
	if virtualRank == Replicated {
		return replicatedFile
	}
	return fmt.Sprintf("virtual-rank-%03d.safetensors", virtualRank)
}

// Validate checks that a manifest is well-formed: every field plausible, the replicated file and the files of either none or all of the virtual
// ranks listed once. It returns all problems at once.
func (m Manifest) Validate() error {
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(m.FormatVersion == FormatVersion, "formatVersion is %d: expected %d", m.FormatVersion, FormatVersion)
	check(m.Job.UID != 0, "job.uid is 0: expected the job's UID")
	check(m.Job.Name != "", "job.name is empty")
	check(m.Step <= maxFolderStep, "step is %d: expected at most %d", m.Step, uint64(maxFolderStep))
	check(m.Skipped <= m.Step, "skipped is %d: expected at most the %d steps", m.Skipped, m.Step)
	check(m.Numerics != "", "numerics is empty: expected the numerics profile")
	check(m.VirtualRanks >= 1, "virtualRanks is %d: expected at least 1", m.VirtualRanks)
	check(isSHA256(m.SpecSHA256), "specSha256 is %q: expected 64 lower-case hex digits", m.SpecSHA256)
	check(isSHA256(m.Digest), "digest is %q: expected 64 lower-case hex digits", m.Digest)
	seen := map[int]bool{}
	for i, f := range m.Files {
		check(f.VirtualRank >= Replicated && f.VirtualRank < m.VirtualRanks, "files[%d].virtualRank is %d: expected %d … %d", i, f.VirtualRank, Replicated, m.VirtualRanks-1)
		check(f.Name == FileName(f.VirtualRank), "files[%d].name is %q: expected %q", i, f.Name, FileName(f.VirtualRank))
		check(f.Size >= 8, "files[%d].size is %d: expected at least the 8 bytes of a header length", i, f.Size)
		check(isSHA256(f.SHA256), "files[%d].sha256 is %q: expected 64 lower-case hex digits", i, f.SHA256)
		check(!seen[f.VirtualRank], "files[%d]: %q is listed twice", i, f.Name)
		seen[f.VirtualRank] = true
	}
	check(seen[Replicated], "files: %q is missing", replicatedFile)
	check(len(seen) == 1 || len(seen) == m.VirtualRanks+1, "files: %d of %d virtual ranks have a file: expected all or none", max(0, len(seen)-1), m.VirtualRanks)
	return errors.Join(errs...)
}

func isSHA256(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64 && s == strings.ToLower(s)
}

// WriteManifest completes a checkpoint. Call it when every file has been written; before it returns, the checkpoint does not exist.
func WriteManifest(ctx context.Context, store Store, m Manifest) error {
	key := Dir(m.Step) + "/" + manifestFile
	if err := m.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	b = append(b, '\n')
	return store.Put(ctx, key, bytes.NewReader(b), int64(len(b)))
}

// ReadManifest reads the manifest of the checkpoint in folder dir. A manifest that is not well-formed is an error that wraps ErrFormat.
func ReadManifest(ctx context.Context, store Store, dir string) (Manifest, error) {
	key := dir + "/" + manifestFile
	b, err := readAll(ctx, store, key, maxManifest)
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(b)
	if err == nil && Dir(m.Step) != dir {
		err = fmt.Errorf("it is of step %d, whose folder is %s", m.Step, Dir(m.Step))
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("%w manifest %s: %w", ErrFormat, key, err)
	}
	return m, nil
}

func parseManifest(b []byte) (Manifest, error) {
	var version struct {
		FormatVersion int `json:"formatVersion"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Manifest{}, err
	}
	if version.FormatVersion != FormatVersion { // first: a later version may have other fields
		return Manifest{}, fmt.Errorf("format version %d: this program reads version %d; use the program that wrote the checkpoint", version.FormatVersion, FormatVersion)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var m Manifest
	if err := d.Decode(&m); err != nil {
		return Manifest{}, err
	}
	return m, m.Validate()
}
