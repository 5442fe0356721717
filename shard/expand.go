package shard

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/sslctl/sslctl/internal/blob"
)

// maxObjects bounds how many names one pattern may stand for.
const maxObjects = 1 << 20

// Braces expands {a,b} and {000..009} in a pattern, as shells do: the last brace varies fastest, numbers keep the wider end's leading
// zeros, ranges may run down, braces may nest.
func Braces(pattern string) ([]string, error) {
	all, err := braces(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrPattern, pattern, err)
	}
	return all, nil
}

func braces(pattern string) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		if strings.IndexByte(pattern, '}') >= 0 {
			return nil, fmt.Errorf("a } has no {")
		}
		return []string{pattern}, nil
	}
	end, commas := -1, []int{open}
	depth := 0
	for i := open; i < len(pattern) && end < 0; i++ {
		switch pattern[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				end = i
			}
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		}
	}
	if end < 0 {
		return nil, fmt.Errorf("a { has no }")
	}
	var middle []string
	var err error
	if commas = append(commas, end); len(commas) > 2 {
		for i := range len(commas) - 1 {
			part, partErr := braces(pattern[commas[i]+1 : commas[i+1]])
			if partErr != nil {
				return nil, partErr
			}
			middle = append(middle, part...)
		}
	} else if middle, err = span(pattern[open+1 : end]); err != nil {
		return nil, err
	}
	tails, err := braces(pattern[end+1:])
	if err != nil {
		return nil, err
	}
	if len(middle)*len(tails) > maxObjects {
		return nil, fmt.Errorf("it stands for more than %d names", maxObjects)
	}
	all := make([]string, 0, len(middle)*len(tails))
	for _, m := range middle {
		for _, t := range tails {
			all = append(all, pattern[:open]+m+t)
		}
	}
	return all, nil
}

// span expands the inside of {from..to}.
func span(inside string) ([]string, error) {
	from, to, ok := strings.Cut(inside, "..")
	a, errA := strconv.ParseUint(from, 10, 63)
	b, errB := strconv.ParseUint(to, 10, 63)
	if !ok || errA != nil || errB != nil {
		return nil, fmt.Errorf("{%s} is neither a list {a,b} nor a range {000..009}", inside)
	}
	n := max(a, b) - min(a, b) + 1
	if n > maxObjects {
		return nil, fmt.Errorf("{%s} stands for more than %d names", inside, maxObjects)
	}
	width := 1
	if len(from) > 1 && from[0] == '0' || len(to) > 1 && to[0] == '0' {
		width = max(len(from), len(to))
	}
	all := make([]string, n)
	for i := range n {
		x := a + i
		if b < a {
			x = a - i
		}
		all[i] = fmt.Sprintf("%0*d", width, x)
	}
	return all, nil
}

// Expand lists the objects that a URL pattern stands for: braces as in Braces; then *, ? and [a-z] match names in the store, * no slash;
// a pattern that ends in a slash stands for all .tar files right below it. Names from braces come in the order written, matches of one
// name sorted. Objects named without wildcards are not looked up.
func Expand(ctx context.Context, pattern string, access blob.Options) ([]string, error) {
	names, err := Braces(pattern)
	if err != nil {
		return nil, err
	}
	var all []string
	seen := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			name += "*.tar"
		}
		matches := []string{name}
		if strings.ContainsAny(name, "*?[") {
			if matches, err = glob(ctx, name, access); err != nil {
				return nil, err
			}
		}
		for _, m := range matches {
			if seen[m] {
				return nil, fmt.Errorf("%w: %q names %s twice", ErrPattern, pattern, m)
			}
			seen[m] = true
			all = append(all, m)
		}
		if len(all) > maxObjects {
			return nil, fmt.Errorf("%w: %q matches more than %d objects", ErrPattern, pattern, maxObjects)
		}
	}
	return all, nil
}

// glob lists the matches of one name with wildcards.
func glob(ctx context.Context, name string, access blob.Options) ([]string, error) {
	if _, err := path.Match(name, ""); err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrPattern, name, err)
	}
	// List from the last folder before the first wildcard on.
	fixed := name[:strings.IndexAny(name, "*?[")]
	slash := strings.LastIndexByte(fixed, '/')
	folder := name[:slash+1]
	if slash < 0 {
		folder = "."
	}
	if strings.HasSuffix(folder, "://") {
		return nil, fmt.Errorf("%w: %q: the bucket's name can't have wildcards", ErrPattern, name)
	}
	b, err := blob.Open(ctx, folder, access)
	if err != nil {
		return nil, err
	}
	objects, err := b.List(ctx, fixed[slash+1:])
	if err != nil {
		return nil, err
	}
	var matches []string
	for _, o := range objects {
		if ok, _ := path.Match(name[slash+1:], o.Key); ok { // the pattern was checked above
			matches = append(matches, blob.Join(b.URI(), o.Key))
		}
	}
	if len(matches) == 0 {
		begin := ""
		if prefix := fixed[slash+1:]; prefix != "" {
			begin = fmt.Sprintf(" that begin with %q", prefix)
		}
		return nil, fmt.Errorf("%w: nothing matches %s (objects there%s: %d); check the path, or pack a data set there with `sslctl dataset pack`",
			ErrPattern, name, begin, len(objects))
	}
	return matches, nil
}
