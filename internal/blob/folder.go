package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// folder is a Bucket whose objects are the files below root. The root need not exist: then the bucket is empty, as an unused S3 prefix is.
type folder struct {
	root  string
	swept sync.Map // folders already cleared of files that dead writers left; see sweep
	// create opens a new file for writing. Tests replace it to let the disk be full.
	create func(name string) (*os.File, error)
}

func newFolder(root string) *folder {
	return &folder{root: root, create: func(name string) (*os.File, error) {
		return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}}
}

func (f *folder) URI() string { return location{path: f.root}.String() }

// file is a key's path.
func (f *folder) file(key string) string { return filepath.Join(f.root, filepath.FromSlash(key)) }

func (f *folder) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	o, err := f.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > 0 && offset >= o.Size && length != 0 {
		return nil, fmt.Errorf("get %s: %w: byte %d of %d", Join(f.URI(), key), ErrRange, offset, o.Size)
	}
	file, err := os.Open(f.file(key))
	if err != nil {
		return nil, f.fail(ctx, "get", key, err)
	}
	if length < 0 {
		length = max(o.Size-offset, 0)
	}
	return &fileReader{ctx: ctx, folder: f, key: key, file: file, r: io.NewSectionReader(file, offset, length)}, nil
}

// fileReader reads a section of a file until its context ends.
type fileReader struct {
	ctx    context.Context
	folder *folder
	key    string
	file   *os.File
	r      *io.SectionReader
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, r.folder.fail(r.ctx, "get", r.key, r.ctx.Err())
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = r.folder.fail(r.ctx, "get", r.key, err)
	}
	return n, err
}

func (r *fileReader) Close() error { return r.file.Close() }

func (f *folder) Stat(ctx context.Context, key string) (Object, error) {
	if err := checkKey(key); err != nil {
		return Object{}, fmt.Errorf("stat in %s: %w", f.URI(), err)
	}
	info, err := os.Stat(f.file(key))
	if err == nil && !info.Mode().IsRegular() {
		return Object{}, fail(ctx, "stat", Join(f.URI(), key), ErrNotExist, fmt.Errorf("it is a %s", kindOf(info.Mode())), "")
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Object{}, f.fail(ctx, "stat", key, err)
	}
	return object(key, info), nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "special file"
}

func object(key string, info fs.FileInfo) Object {
	// Size and time in nanoseconds together change with the content on every file system that we know.
	version := strconv.FormatInt(info.Size(), 16) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 16)
	return Object{Key: key, Size: info.Size(), Version: version, Modified: info.ModTime()}
}

func (f *folder) List(ctx context.Context, prefix string) ([]Object, error) {
	// Only the folder that the prefix names can hold matches; the rest of the prefix is compared as a string.
	under := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		under = prefix[:i]
		if err := checkKey(under); err != nil {
			return nil, fmt.Errorf("list in %s: %w", f.URI(), err)
		}
	}
	var found []Object
	err := f.walk(ctx, under, func(key string, info fs.FileInfo) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, object(key, info))
		}
	})
	if err != nil {
		return nil, f.fail(ctx, "list", prefix, err)
	}
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// walk calls visit for every file below the folder under (a key, or empty for the root). Links to files are followed, links to folders
// are not, since they may lead in circles.
func (f *folder) walk(ctx context.Context, under string, visit func(key string, info fs.FileInfo)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(f.file(under))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		key := strings.TrimPrefix(under+"/"+e.Name(), "/")
		if e.IsDir() {
			if err := f.walk(ctx, key, visit); err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(f.file(key))
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile, or a link to nothing
			continue
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			visit(key, info)
		}
	}
	return nil
}

func (f *folder) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("delete in %s: %w", f.URI(), err)
	}
	if ctx.Err() != nil {
		return f.fail(ctx, "delete", key, ctx.Err())
	}
	err := os.Remove(f.file(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return f.fail(ctx, "delete", key, err)
	}
	f.prune(filepath.Dir(f.file(key)))
	return nil
}

// prune removes dir and the folders above it, below the root, as far as they are empty: folders come and go with their files, as prefixes do
// in S3.
func (f *folder) prune(dir string) {
	for ; len(dir) > len(f.root); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // it leaves a folder that is not empty
			return
		}
	}
}

// fail turns an operating system's error into one of this package's.
func (f *folder) fail(ctx context.Context, op, key string, err error) error {
	var kind error
	advice := ""
	switch {
	case op == "put" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)):
		kind, advice = ErrURI, "name a folder that can be made"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		kind, advice = ErrNotExist, "check the path"
		if _, statErr := os.Stat(f.root); errors.Is(statErr, fs.ErrNotExist) {
			advice = "check the path: the folder " + f.root + " does not exist"
		}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind, advice = ErrDenied, fmt.Sprintf("let user %d access it, or name another folder", os.Getuid())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		kind, advice = ErrNoSpace, "free some space below "+f.root+" or name another folder"
	}
	return fail(ctx, op, Join(f.URI(), key), kind, f.brief(key, kind, err), advice)
}

// brief leaves the path out of an operating system's error where it is that of the object or of its temporary file, and the reason where
// kind says the same.
func (f *folder) brief(key string, kind, err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err
	}
	if at.Path != f.file(key) && !strings.HasPrefix(filepath.Base(at.Path), tempPrefix) {
		return err // a folder above it
	}
	switch {
	case kind == ErrNotExist && errors.Is(err, fs.ErrNotExist), kind == ErrNoSpace && errors.Is(err, syscall.ENOSPC):
		return &told{"", err}
	}
	return at.Err
}
