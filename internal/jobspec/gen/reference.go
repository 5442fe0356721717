package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/sslctl/sslctl/internal/jobspec"
)

const preamble = `<!-- Generated from internal/jobspec/job.go by "go generate ./internal/jobspec". Do not edit. -->

# The job file

A job file is one YAML document. It is read strictly: an unknown field, a wrong type or an impossible combination is an error that names
file, line and column, what was expected and the nearest valid name; all errors are reported at once. ` + "`sslctl validate job.yaml`" + ` checks
a file without running it; with ` + "`-o yaml`" + ` it prints the job with every default filled in.

` + "`--set path=value`" + ` (repeatable; on up, submit, validate and plan) overrides one field: ` + "`--set spec.training.epochs=1`" + `,
` + "`--set spec.transforms[0].randomResizedCrop.area=[0.5,1]`" + `. The value is YAML; elements of lists are numbered from 0; ` + "`null`" + ` removes an
optional section.

`

type comments struct {
	types  map[string]string // by type
	fields map[string]string // by type.field
}

// Reference is the text of docs/job.md. source is the Go file that declares the structs.
func Reference(source string) ([]byte, error) {
	c, err := readComments(source)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(preamble)
	w := writer{comments: c, out: &out}
	w.section(reflect.TypeFor[jobspec.Job](), "")
	if w.err != nil {
		return nil, w.err
	}
	return append(bytes.TrimSpace(out.Bytes()), '\n'), nil
}

func readComments(source string) (comments, error) {
	c := comments{types: map[string]string{}, fields: map[string]string{}}
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
	if err != nil {
		return c, fmt.Errorf("reading the structs: %w", err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return true
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		c.types[spec.Name.Name] = oneLine(decl.Doc.Text())
		if body, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range body.Fields.List {
				for _, name := range f.Names {
					c.fields[spec.Name.Name+"."+name.Name] = oneLine(f.Doc.Text())
				}
			}
		}
		return false
	})
	return c, nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

type writer struct {
	comments comments
	out      *bytes.Buffer
	err      error
}

// section writes one table for a struct, then those of the sections in it.
func (w *writer) section(t reflect.Type, path string) {
	title := path
	if title == "" {
		title = "Top level"
	}
	fmt.Fprintf(w.out, "## %s\n\n", title)
	if doc := w.comments.types[t.Name()]; doc != "" {
		// "Workers bounds …" reads as "Bounds …" under the heading, "Dataset is what …" as "What …".
		fmt.Fprintf(w.out, "%s\n\n", sentence(strings.TrimPrefix(strings.TrimPrefix(doc, t.Name()+" "), "is ")))
	}
	w.out.WriteString("| field | value | default | meaning |\n|---|---|---|---|\n")
	fields := jobspec.Fields(t)
	for _, f := range fields {
		doc, ok := w.comments.fields[f.Owner.Name()+"."+f.GoName]
		if !ok || doc == "" {
			w.err = fmt.Errorf("field %s.%s has no comment", f.Owner.Name(), f.GoName)
		}
		if name, values := f.Condition(); name != "" {
			doc += fmt.Sprintf(" Only with `%s: %s`.", name, strings.Join(values, "` or `"))
		}
		fmt.Fprintf(w.out, "| `%s` | %s | %s | %s |\n", f.Name, escape(valueText(f)), escape(defaultText(t, f)), escape(doc))
	}
	w.out.WriteString("\n")
	for _, f := range fields {
		inner, suffix := f.Type, ""
		if inner.Kind() == reflect.Slice {
			inner, suffix = inner.Elem(), "[]"
		}
		if jobspec.IsSection(inner) {
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			at := f.Name + suffix
			if path != "" {
				at = path + "." + at
			}
			w.section(inner, at)
		}
	}
}

func valueText(f jobspec.Field) string {
	text := f.Describe()
	if f.Unit != "" && f.Unit != "time" {
		text += " (" + f.Unit + ")"
	}
	return text
}

func defaultText(section reflect.Type, f jobspec.Field) string {
	switch {
	case f.Required:
		return "required"
	case f.Default != "":
		return "`" + f.Default + "`"
	case f.Derived != "":
		return "`" + f.Derived + "`"
	case section == reflect.TypeFor[jobspec.Transform]():
		return ""
	case f.Type.Kind() == reflect.Struct:
		return ""
	default:
		return "none"
	}
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
