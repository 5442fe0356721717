package jobspec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// SizeMax is the largest job file that is read.
const SizeMax Size = 1 << 20

// Parse reads a job file, applies the overrides ("path=value") in order, fills in defaults and validates the whole. The error, if any,
// is an Errors with everything that is wrong; errors.Is(err, ErrInvalid) holds. The file is called "job" in it.
func Parse(data []byte, set []string) (*Job, error) { return ParseNamed("job", data, set) }

// ParseFile is Parse for a file on disk.
func ParseFile(file string, set []string) (*Job, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the job file: %w", err)
	}
	return ParseNamed(file, data, set)
}

// ParseNamed is Parse with the file's name for the errors.
func ParseNamed(file string, data []byte, set []string) (*Job, error) {
	d := &decoder{file: file, origin: map[*yaml.Node]place{}, written: map[string]place{}}
	root := d.read(data)
	if root == nil {
		return nil, d.errs
	}
	for i, override := range set {
		d.override(root, override, i+1)
	}
	job := Defaults()
	d.section(root, reflect.ValueOf(job).Elem(), "")
	job.derive()
	job.validate(&checker{decoder: d, root: d.place(root)})
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return job, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// read parses the one document of a job file into its root mapping; nil after an error.
func (d *decoder) read(data []byte) *yaml.Node {
	top := place{file: d.file, line: 1, column: 1}
	if int64(len(data)) > int64(SizeMax) {
		d.fail(top, "", fmt.Sprintf("has %d bytes", len(data)), "a job file of at most "+SizeMax.String(), "")
		return nil
	}
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := reader.Decode(&doc)
	if err == nil {
		if next := reader.Decode(&more); next == nil {
			p := d.place(&more)
			d.fail(p, "", "has a second document", "one job for each file", "")
			return nil
		} else if !errors.Is(next, io.EOF) {
			err = next
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		d.fail(top, "", "is empty", "a job file that begins with apiVersion: "+APIVersion, "")
		return nil
	case err != nil:
		p, problem := top, err.Error()
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			problem = m[2]
			if n, convErr := strconv.Atoi(m[1]); convErr == nil {
				p.line = n
			}
		}
		d.fail(p, "", "is not YAML: "+problem, "", "")
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		d.fail(d.place(root), "", "is "+describeNode(root), "a map with apiVersion, kind, metadata and spec", "")
		return nil
	}
	return root
}
