package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Store is a folder of objects. Put is atomic: an object appears whole or not at all, and replaces one of the same key.
// The errors of its methods say what was done to which object.
type Store interface {
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// Get reads length bytes from offset off on; to the end if length < 0.
	Get(ctx context.Context, key string, off, length int64) (io.ReadCloser, error)
	// List returns the keys that begin with prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes an object. It is no error if there is none.
	Delete(ctx context.Context, key string) error
}

// WriteFile writes the tensors of a virtual rank (or Replicated) to its file of the checkpoint of a step. It encodes while it uploads, without a
// copy of the state, and hashes in a pass before, so that the reader that the store gets can seek and a failed upload can be repeated.
// The tensors must not change meanwhile.
func WriteFile(ctx context.Context, store Store, step uint64, virtualRank int, tensors []Tensor) (FileEntry, error) {
	entry := FileEntry{Name: FileName(virtualRank), VirtualRank: virtualRank}
	key := Dir(step) + "/" + entry.Name
	e, err := newEncoding(tensors, map[string]string{"format": fmt.Sprintf("sslctl-checkpoint/%d", FormatVersion)})
	if err != nil {
		return FileEntry{}, fmt.Errorf("write %s: %w", key, err)
	}
	r, h := e.reader(), sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return FileEntry{}, fmt.Errorf("write %s: %w", key, err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return FileEntry{}, fmt.Errorf("write %s: %w", key, err)
	}
	if err := store.Put(ctx, key, r, e.size); err != nil {
		return FileEntry{}, err
	}
	entry.Size, entry.SHA256 = e.size, hex.EncodeToString(h.Sum(nil))
	return entry, nil
}

// ReadFile reads a file of the checkpoint in folder dir into memory and verifies its size and hash before it parses it: no value of a
// damaged file is ever handed out. The error then wraps ErrDamaged.
func ReadFile(ctx context.Context, store Store, dir string, entry FileEntry) (*File, error) {
	key := dir + "/" + entry.Name
	data, err := readAll(ctx, store, key, entry.Size)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if err := entry.check(key, int64(len(data)), sum[:]); err != nil {
		return nil, err
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return f, nil
}

// Verify reads every file that a manifest names and compares size and hash, without keeping them. It returns all problems at once.
func Verify(ctx context.Context, store Store, m Manifest) error {
	var errs []error
	for _, entry := range m.Files {
		errs = append(errs, verify(ctx, store, Dir(m.Step)+"/"+entry.Name, entry))
	}
	return errors.Join(errs...)
}

func verify(ctx context.Context, store Store, key string, entry FileEntry) (err error) {
	r, err := store.Get(ctx, key, 0, -1)
	if err != nil {
		return fmt.Errorf("verify %s: %w", key, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, entry.Size+1))
	if err != nil {
		return fmt.Errorf("verify %s: %w", key, err)
	}
	return entry.check(key, n, h.Sum(nil))
}

// check compares what was read with what the manifest says; size+1 bytes stand for any greater number.
func (f FileEntry) check(key string, size int64, sum []byte) error {
	switch {
	case size < f.Size:
		return fmt.Errorf("%w: %s has %d bytes, the manifest says %d; use an older checkpoint", ErrDamaged, key, size, f.Size)
	case size > f.Size:
		return fmt.Errorf("%w: %s has more than the %d bytes that the manifest says; use an older checkpoint", ErrDamaged, key, f.Size)
	case hex.EncodeToString(sum) != f.SHA256:
		return fmt.Errorf("%w: %s has SHA-256 %x, the manifest says %s; use an older checkpoint", ErrDamaged, key, sum, f.SHA256)
	}
	return nil
}

// readAll reads an object of at most limit bytes; of a longer one it returns limit+1 bytes.
func readAll(ctx context.Context, store Store, key string, limit int64) (data []byte, err error) {
	r, err := store.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var b bytes.Buffer
	b.Grow(int(min(limit, 1<<26)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b.Bytes(), nil
}
