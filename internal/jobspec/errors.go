package jobspec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid is matched by every error that is about the content of a job file or of an override.
var ErrInvalid = errors.New("invalid job file")

// Error is one thing that is wrong with a job file.
type Error struct {
	File         string // name of the file, or the override ("--set path=value")
	Line, Column int    // from 1; 0 in an override
	Path         string // "spec.training.epochs"
	Problem      string // what is wrong
	Expected     string // what would be right; may be empty
	DidYouMean   string // the nearest valid name; may be empty

	order int // place among files: overrides come after the file
}

// Error is "file:line:column: path: problem; expected …; did you mean …".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Problem)
	if e.Expected != "" {
		b.WriteString("; expected " + e.Expected)
	}
	if e.DidYouMean != "" {
		b.WriteString("; did you mean " + e.DidYouMean + "?")
	}
	return b.String()
}

// Unwrap is ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }

// Errors is everything that is wrong with a job file, in the order of the file, then of the overrides.
type Errors []*Error

// Error has one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors.
func (es Errors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}

func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return es
}
