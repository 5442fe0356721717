package blob

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

const (
	schemeS3   = "s3://"
	schemeFile = "file://"
)

// location is a parsed URI. bucket is empty for a folder.
type location struct {
	bucket string
	path   string // the prefix in the bucket without slashes at its ends, or the folder's absolute path
}

func (l location) String() string {
	switch {
	case l.bucket == "":
		return schemeFile + l.path
	case l.path == "":
		return schemeS3 + l.bucket
	}
	return schemeS3 + l.bucket + "/" + l.path
}

func parse(uri string) (location, error) {
	if rest, ok := strings.CutPrefix(uri, schemeS3); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		if strings.Contains(bucket, "@") {
			return location{}, fmt.Errorf("%w: an address of S3 holds no credentials; write s3://bucket/prefix, and give them apart", ErrURI)
		}
		if bucket == "" {
			return location{}, fmt.Errorf("%w: %q names no bucket; write s3://bucket/prefix", ErrURI, uri)
		}
		prefix = strings.Trim(prefix, "/")
		if prefix != "" {
			if err := checkKey(prefix); err != nil {
				return location{}, fmt.Errorf("%w: %q: %w", ErrURI, uri, err)
			}
		}
		return location{bucket, prefix}, nil
	}
	folder := uri
	if rest, ok := strings.CutPrefix(uri, schemeFile); ok {
		folder = rest
	} else if scheme, _, ok := strings.Cut(uri, "://"); ok {
		return location{}, fmt.Errorf("%w: %q has the scheme %q; s3://bucket/prefix, file:///path and plain paths are known", ErrURI, uri, scheme)
	}
	if folder == "" {
		return location{}, fmt.Errorf("%w: %q names no folder; write file:///path, a path or s3://bucket/prefix", ErrURI, uri)
	}
	abs, err := filepath.Abs(folder)
	if err != nil {
		return location{}, fmt.Errorf("%w: %q: %w", ErrURI, uri, err)
	}
	return location{path: filepath.ToSlash(abs)}, nil
}

// Split cuts an object's URI into the URI of a bucket that holds it and its key there: s3://bucket/a/b is s3://bucket and a/b,
// file:///a/b is file:///a and b.
func Split(uri string) (bucket, key string, err error) {
	l, err := parse(uri)
	switch {
	case err != nil:
		return "", "", err
	case l.path == "" || l.path == "/" || strings.HasSuffix(uri, "/"):
		return "", "", fmt.Errorf("%w: %q names no object; an object's name follows the last /", ErrURI, uri)
	case l.bucket != "":
		return schemeS3 + l.bucket, l.path, nil
	}
	dir, name := path.Split(l.path)
	return location{path: path.Clean(dir)}.String(), name, nil
}

// Join appends a key to a bucket's URI.
func Join(uri, key string) string { return strings.TrimRight(uri, "/") + "/" + key }

// checkKey refuses keys that a folder could not hold, so that all buckets accept the same ones.
func checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: an object's key is empty", ErrURI)
	}
	for e := range strings.SplitSeq(key, "/") {
		switch {
		case e == "" || e == "." || e == "..":
			return fmt.Errorf("%w: the key %q has the element %q; elements are names, with one / between them", ErrURI, key, e)
		case strings.ContainsRune(e, 0):
			return fmt.Errorf("%w: the key %q has a zero byte", ErrURI, key)
		case strings.HasPrefix(e, tempPrefix):
			return fmt.Errorf("%w: the key %q starts an element with %q, which is kept for files being written", ErrURI, key, tempPrefix)
		}
	}
	return nil
}
