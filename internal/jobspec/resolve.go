package jobspec

import (
	"path/filepath"
	"strings"
)

// ResolveFiles makes the relative file:// URIs of the job absolute, taking them as relative to dir.
func (j *Job) ResolveFiles(dir string) {
	s := &j.Spec
	uris := []*string{&s.Dataset.URI, &s.Checkpoint.URI}
	if s.Evaluate != nil {
		uris = append(uris, &s.Evaluate.Train.URI, &s.Evaluate.Test.URI)
	}
	for _, uri := range uris {
		*uri = ResolveFile(*uri, dir)
	}
}

// ResolveFile makes a relative file:// URI absolute; others stay.
func ResolveFile(uri, dir string) string {
	path, ok := strings.CutPrefix(uri, "file://")
	if !ok || filepath.IsAbs(path) {
		return uri
	}
	return "file://" + filepath.Join(dir, path)
}
