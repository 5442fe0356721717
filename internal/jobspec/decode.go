package jobspec

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// place is where a value was written.
type place struct {
	file         string
	line, column int
	order        int
}

// decoder walks a YAML tree along the struct types, fills the structs, and collects every error.
type decoder struct {
	file    string
	origin  map[*yaml.Node]place // of nodes that came from an override
	errs    Errors
	written map[string]place // by path: where each value that the job file or an override gives stands
}

func (d *decoder) place(n *yaml.Node) place {
	if p, ok := d.origin[n]; ok {
		return p
	}
	return place{file: d.file, line: n.Line, column: n.Column}
}

func (d *decoder) note(path string, n *yaml.Node) {
	if d.written != nil {
		d.written[path] = d.place(n)
	}
}

func (d *decoder) fail(p place, path, problem, expected, didYouMean string) {
	d.errs = append(d.errs, &Error{
		File: p.file, Line: p.line, Column: p.column, Path: path,
		Problem: problem, Expected: expected, DidYouMean: didYouMean, order: p.order,
	})
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f Field, path string) {
	d.note(path, n)
	if d.alias(n, path) {
		return
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if isNull(n) {
			v.SetZero()
			return
		}
		section := reflect.New(t.Elem())
		setDefaults(section.Elem())
		v.Set(section)
		d.value(n, section.Elem(), f, path)
	case t == reflect.TypeFor[Transform]():
		d.union(n, v, path)
	case t.Kind() == reflect.Struct:
		d.section(n, v, path)
	case t.Kind() == reflect.Slice:
		d.list(n, v, f, path)
	case t.Kind() == reflect.Map:
		d.labels(n, v, path)
	default:
		d.scalar(n, v, f, path)
	}
}

// alias refuses an alias, and tells whether n is one.
func (d *decoder) alias(n *yaml.Node, path string) bool {
	if n.Kind != yaml.AliasNode {
		return false
	}
	d.fail(d.place(n), path, "aliases are not supported", "the value itself in place of *"+n.Value, "")
	return true
}

// section decodes a map with named fields.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	}
	fields := Fields(v.Type())
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	if n.Kind != yaml.MappingNode {
		is := describeNode(n)
		if v.Type() == reflect.TypeFor[SecretRef]() {
			is = "no map" // it may be the secret itself
		}
		d.fail(d.place(n), path, "is "+is, "a map with "+strings.Join(names, ", "), "")
		return
	}
	seen, given := map[string]bool{}, map[string]bool{}
	for key := range pairs(n) {
		given[key.Value] = true
	}
	for key, value := range pairs(n) {
		at := join(path, key.Value)
		if seen[key.Value] {
			d.fail(d.place(key), at, "is given twice", "each field once", "")
			continue
		}
		seen[key.Value] = true
		i := slices.Index(names, key.Value)
		if i < 0 && isCredential(key.Value) {
			d.fail(d.place(key), at, credentialGiven, credentialWanted, "")
			continue
		}
		if i < 0 {
			expected := ""
			suggestion := nearest(key.Value, names)
			if suggestion == "" {
				expected = "one of " + strings.Join(names, ", ")
			}
			d.fail(d.place(key), at, "unknown field", expected, suggestion)
			if suggestion == "" || given[suggestion] {
				continue
			}
			// Read as what it was meant to be: what is wrong in it shows at once, and the field is not missed as well.
			given[suggestion], seen[suggestion] = true, true
			i, at = slices.Index(names, suggestion), join(path, suggestion)
		}
		d.value(value, v.FieldByIndex(fields[i].index), fields[i], at)
	}
	for _, f := range fields {
		if !seen[f.Name] {
			d.absent(d.place(n), f, join(path, f.Name))
		}
	}
}

// absent reports a field that had to be given, and the required fields of a section that was left out.
func (d *decoder) absent(p place, f Field, path string) {
	if f.Required {
		d.fail(p, path, "is missing", f.Describe(), "")
		return
	}
	if f.Type.Kind() != reflect.Struct {
		return
	}
	for _, inner := range Fields(f.Type) {
		d.absent(p, inner, join(path, inner.Name))
	}
}

// union decodes a map with exactly one key into a struct of pointers.
func (d *decoder) union(n *yaml.Node, v reflect.Value, path string) {
	fields := Fields(v.Type())
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	expected := "a map with one key of " + strings.Join(names, ", ")
	if n.Kind != yaml.MappingNode {
		suggestion := ""
		if n.Kind == yaml.ScalarNode {
			if name := nearest(n.Value, names); name != "" {
				suggestion = name + ": {}"
			}
		}
		d.fail(d.place(n), path, "is "+describeNode(n), expected, suggestion)
		return
	}
	if len(n.Content) != 2 {
		d.fail(d.place(n), path, fmt.Sprintf("has %d keys", len(n.Content)/2), expected, "")
		return
	}
	key, value := n.Content[0], n.Content[1]
	at := join(path, key.Value)
	i := slices.Index(names, key.Value)
	if i < 0 {
		suggestion := nearest(key.Value, names)
		if suggestion != "" {
			expected = ""
		}
		d.fail(d.place(key), at, "unknown transform", expected, suggestion)
		return
	}
	// "flip:" without a value means all defaults.
	section := reflect.New(fields[i].Type.Elem())
	setDefaults(section.Elem())
	v.FieldByIndex(fields[i].index).Set(section)
	d.note(at, value)
	if value.Kind == yaml.AliasNode {
		d.value(value, section.Elem(), fields[i], at)
		return
	}
	d.section(value, section.Elem(), at)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f Field, path string) {
	if isNull(n) {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column}
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(d.place(n), path, "is "+describeNode(n), f.Describe(), "")
		return
	}
	if f.Len > 0 && len(n.Content) != f.Len {
		d.fail(d.place(n), path, fmt.Sprintf("has %d elements", len(n.Content)), f.Describe(), "")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	element := Field{Name: f.Name, Type: v.Type().Elem(), Range: f.Range, Enum: f.Enum, Unit: f.Unit}
	for i, item := range n.Content {
		d.value(item, list.Index(i), element, fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

// labels decodes a map from text to text.
func (d *decoder) labels(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(d.place(n), path, "is "+describeNode(n), "a map from text to text", "")
		return
	}
	labels := map[string]string{}
	for key, value := range pairs(n) {
		at := join(path, key.Value)
		if _, ok := labels[key.Value]; ok {
			d.fail(d.place(key), at, "is given twice", "each label once", "")
			continue
		}
		if d.alias(value, at) {
			continue
		}
		if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" {
			d.fail(d.place(value), at, "is "+describeNode(value), "text (put other values in quotes)", "")
		}
		labels[key.Value] = value.Value
	}
	v.Set(reflect.ValueOf(labels))
}

// scalar decodes text, numbers, sizes and durations.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f Field, path string) {
	wrong := func() { d.fail(d.place(n), path, "is "+describeNode(n), f.Describe(), "") }
	if n.Kind != yaml.ScalarNode {
		wrong()
		return
	}
	tag := n.ShortTag()
	number := math.NaN()
	switch {
	case v.Type() == reflect.TypeFor[Size]():
		size, err := parseSize(n.Value)
		if err != nil || (tag != "!!int" && tag != "!!str") {
			wrong()
			return
		}
		v.SetInt(int64(size))
		number = float64(size)
	case v.Type() == reflect.TypeFor[Duration]():
		length, err := time.ParseDuration(n.Value)
		if err != nil {
			wrong()
			return
		}
		v.SetInt(int64(length))
		number = length.Seconds()
	case v.Kind() == reflect.String:
		if tag != "!!str" {
			wrong()
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if tag != "!!bool" || err != nil {
			wrong()
			return
		}
		v.SetBool(b)
	case v.Kind() == reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if tag != "!!int" || err != nil {
			wrong()
			return
		}
		v.SetInt(i)
		number = float64(i)
	case v.Kind() == reflect.Uint64:
		u, err := strconv.ParseUint(n.Value, 10, 64)
		if tag != "!!int" || err != nil {
			wrong()
			return
		}
		v.SetUint(u)
		number = float64(u)
	case v.Kind() == reflect.Float64:
		x, err := strconv.ParseFloat(n.Value, 64)
		if (tag != "!!int" && tag != "!!float") || err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			wrong()
			return
		}
		v.SetFloat(x)
		number = x
	default:
		panic("jobspec: no decoder for " + v.Type().String())
	}
	if f.Range != "" && !parseInterval(f.Range).contains(number) {
		wrong()
		return
	}
	if f.Enum != nil && !slices.Contains(f.Enum, n.Value) {
		suggestion := ""
		if len(f.Enum) > 1 {
			suggestion = nearest(n.Value, f.Enum)
		}
		d.fail(d.place(n), path, "is "+describeNode(n), f.Describe(), suggestion)
	}
}
