package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

// tempPrefix starts the names of files being written. No key may use it, and listings leave such files out.
const tempPrefix = ".sslctl-tmp-"

var tempCount atomic.Uint64 // tells the temporary files of one process apart

// Put writes a temporary file beside the target, syncs it, renames it over the target and syncs the folder: after a crash the target is
// the old object or the new one.
func (f *folder) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("put in %s: %w", f.URI(), err)
	}
	if err := f.put(ctx, key, r, size); err != nil {
		f.prune(filepath.Dir(f.file(key)))
		return f.fail(ctx, "put", key, err)
	}
	return nil
}

func (f *folder) put(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	target := f.file(key)
	dir := filepath.Dir(target)
	temp, err := f.createTemp(dir)
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
		if closeErr := temp.Close(); err == nil {
			err = closeErr
		}
	}()
	n, err := io.Copy(temp, io.LimitReader(ctxReader{ctx, r}, size))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("got %d bytes of %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), target); err != nil {
		return err
	}
	renamed = true
	if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted again already, with its folder
		return err
	}
	return nil
}

// maxAttempts is how often createTemp loses a race before it gives up.
const maxAttempts = 100

// createTemp creates an empty temporary file in dir, and dir if need be. The file is locked as long as its writer lives.
func (f *folder) createTemp(dir string) (*os.File, error) {
	for attempt := 0; ; attempt++ {
		// Others may make and remove the folder, or its parents, at any point of this.
		err := mkdirSync(dir)
		if vanished := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist); vanished && attempt < maxAttempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, done := f.swept.LoadOrStore(dir, true); !done {
			sweep(dir)
		}
		name := filepath.Join(dir, fmt.Sprintf("%s%d-%d", tempPrefix, os.Getpid(), tempCount.Add(1)))
		file, err := f.create(name)
		if err == nil {
			// A sweeper of another process may have taken the file before the lock: then it has no name any more, and another is made. Where
			// the file system knows no locks, sweepers get none either and leave all files alone.
			lockErr := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if _, statErr := os.Lstat(name); !errors.Is(lockErr, syscall.EWOULDBLOCK) && statErr == nil {
				return file, nil
			}
			_ = file.Close() // nothing was written
			_ = os.Remove(name)
			err = cmp.Or(lockErr, fs.ErrNotExist)
		}
		// The name can be taken by the same process number on another host.
		again := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EWOULDBLOCK)
		if !again || attempt == maxAttempts {
			return nil, err
		}
	}
}

// sweep removes the temporary files that killed writers have left in dir: those that nobody holds locked. What it can't remove it
// leaves: such files are invisible, they only take space.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) || !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(dir, e.Name())
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.Remove(name)
		}
		_ = file.Close()
	}
}

// mkdirSync is os.MkdirAll that also syncs the parents of what it creates.
func mkdirSync(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdirSync(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // another process was faster
		}
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some file systems can't sync folders and say so; their renames are as durable as they get.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// ctxReader stops reading when its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
