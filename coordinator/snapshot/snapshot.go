// Package snapshot is the file that holds everything that a coordinator group has agreed on, outside of the group: for back-up, and to make
// a new group of it. It is a gzipped tar of meta.json, state.json and SHA256SUMS, in this order.
package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sslctl/sslctl/coordinator/state"
)

// Format names the format of the files that this package writes and reads.
const Format = "sslctl-snapshot/1"

var (
	// ErrFormat is returned for what is no snapshot, or one of another format.
	ErrFormat = errors.New("not a snapshot that this program knows")
	// ErrDamaged is returned for a snapshot of which a part is missing or altered.
	ErrDamaged = errors.New("the snapshot is damaged")
)

// Meta says what a snapshot is of.
type Meta struct {
	Format      string `json:"format"`
	StateFormat string `json:"stateFormat"`
	Cluster     string `json:"cluster"`
	Coordinator string `json:"coordinator"` // that wrote it
	Version     string `json:"version"`     // of the program that wrote it
	Index       uint64 `json:"index"`       // of the last command in it
	Term        uint64 `json:"term"`
	SavedUnixMS int64  `json:"savedUnixMs"`
	StateBytes  int64  `json:"stateBytes"`
}

// Members of the file, and the most bytes that each may have.
const (
	metaName, metaMost   = "meta.json", 1 << 20
	stateName, stateMost = "state.json", 1 << 32
	sumsName, sumsMost   = "SHA256SUMS", 1 << 12
)

// Write writes s as a snapshot. The formats and StateBytes of meta are filled in.
func Write(w io.Writer, meta Meta, s *state.State) error {
	var text bytes.Buffer
	if err := s.Write(&text); err != nil {
		return err
	}
	meta.Format, meta.StateFormat, meta.StateBytes = Format, state.SnapshotFormat, int64(text.Len())
	head, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the head of a snapshot: %w", err)
	}
	head = append(head, '\n')
	zip := gzip.NewWriter(w)
	file := tar.NewWriter(zip)
	add := func(name string, data []byte) error {
		h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: time.UnixMilli(meta.SavedUnixMS).UTC().Truncate(time.Second)}
		if err := file.WriteHeader(h); err != nil {
			return err
		}
		_, err := file.Write(data)
		return err
	}
	if err := errors.Join(add(metaName, head), add(stateName, text.Bytes()), add(sumsName, sums(head, text.Bytes())), file.Close(), zip.Close()); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	return nil
}

// sums is what sha256sum prints for the two other members.
func sums(meta, state []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n%x  %s\n", sha256.Sum256(meta), metaName, sha256.Sum256(state), stateName)
}

// Read reads what Write has written, and verifies all of it. It returns ErrFormat or ErrDamaged for what it cannot use.
func Read(r io.Reader) (Meta, *state.State, error) {
	zip, err := gzip.NewReader(r)
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) {
		return Meta{}, nil, fmt.Errorf("read a snapshot: %w: it is no gzipped file", ErrFormat)
	}
	if err != nil {
		return Meta{}, nil, fmt.Errorf("read a snapshot: %w", unpacked(err))
	}
	file := tar.NewReader(zip)
	head, err := member(file, metaName, metaMost)
	if err != nil {
		return Meta{}, nil, err
	}
	var meta Meta
	if err := json.Unmarshal(head, &meta); err != nil {
		return Meta{}, nil, fmt.Errorf("read a snapshot: %w: %s: %w", ErrDamaged, metaName, err)
	}
	if meta.Format != Format || meta.StateFormat != state.SnapshotFormat {
		return meta, nil, fmt.Errorf("read a snapshot: %w: it has the formats %q and %q, expected %q and %q; use the version of sslctl that wrote it, %s",
			ErrFormat, meta.Format, meta.StateFormat, Format, state.SnapshotFormat, meta.Version)
	}
	text, err := member(file, stateName, stateMost)
	if err != nil {
		return meta, nil, err
	}
	sum, err := member(file, sumsName, sumsMost)
	if err != nil {
		return meta, nil, err
	}
	if _, err := io.Copy(io.Discard, zip); err != nil { // to its end, where gzip keeps its own sum
		return meta, nil, fmt.Errorf("read a snapshot: %w", unpacked(err))
	}
	if !bytes.Equal(sum, sums(head, text)) {
		return meta, nil, fmt.Errorf("read a snapshot: %w: its SHA-256 sums differ from those in it; take another copy", ErrDamaged)
	}
	s, err := state.Read(bytes.NewReader(text))
	if err != nil {
		return meta, nil, fmt.Errorf("read a snapshot: %w: %w", ErrDamaged, err)
	}
	return meta, s, nil
}

// member reads the next member of the file, which must have the name.
func member(file *tar.Reader, name string, most int64) ([]byte, error) {
	h, err := file.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read a snapshot: %w: it ends before %s", ErrDamaged, name)
	case err != nil:
		return nil, fmt.Errorf("read a snapshot: %w", unpacked(err))
	case h.Name != name:
		return nil, fmt.Errorf("read a snapshot: %w: it has %q where %s is expected", ErrFormat, h.Name, name)
	case h.Size > most:
		return nil, fmt.Errorf("read a snapshot: %w: %s has %d bytes, at most %d are expected", ErrDamaged, name, h.Size, most)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read a snapshot: %s: %w", name, unpacked(err))
	}
	return data, nil
}

// unpacked is an error of what is being read: a broken file is damaged, a broken connection is not.
func unpacked(err error) error {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, gzip.ErrChecksum, gzip.ErrHeader, tar.ErrHeader} {
		if errors.Is(err, broken) {
			return fmt.Errorf("%w: %w; take another copy", ErrDamaged, err)
		}
	}
	if corrupt := flate.CorruptInputError(0); errors.As(err, &corrupt) {
		return fmt.Errorf("%w: %w; take another copy", ErrDamaged, err)
	}
	return err
}
