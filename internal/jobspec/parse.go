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
	"unicode/utf8"

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
	job.derive(d.written)
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
	if at := notText(data); at >= 0 {
		d.fail(top, "", fmt.Sprintf("is not text: its byte %d is 0x%02x", at, data[at]), "a job file in YAML, in UTF-8", "")
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
		if column := tabIndent(data, p.line); column > 0 {
			p.column = column
			d.fail(p, "", "is indented with a tab", "spaces: YAML knows no tabs there", "")
			return nil
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

// notText is where data stops being text: a zero byte or what is not UTF-8. It is -1 for text, and for UTF-16 that says so in its first
// bytes, which the YAML reader knows.
func notText(data []byte) int {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return -1
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// tabIndent is the column, counted from 1, of a tab in the indentation of a line, 0 if there is none.
func tabIndent(data []byte, line int) int {
	lines := bytes.Split(data, []byte("\n"))
	if line < 1 || line > len(lines) {
		return 0
	}
	text := lines[line-1]
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	return 1 + bytes.IndexByte(indent, '\t')
}
