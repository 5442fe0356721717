package jobspec

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// YAML is the job as a job file with defaults and overrides in it: every field that has a meaning, in the order of the documentation.
// Parse of it gives an equal job, and jobs that are equal give the same bytes.
func (j *Job) YAML() []byte {
	out, err := yaml.Marshal(encodeSection(reflect.ValueOf(j).Elem()))
	if err != nil {
		// The tree holds only maps, lists and scalars made here.
		panic("jobspec: encoding a job: " + err.Error())
	}
	return out
}

func encodeSection(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	fields := Fields(v.Type())
	for _, f := range fields {
		fv := v.FieldByIndex(f.index)
		if !f.applies(v, fields) {
			continue
		}
		switch fv.Kind() {
		case reflect.Pointer:
			if fv.IsNil() {
				continue
			}
			fv = fv.Elem()
		case reflect.Map, reflect.Slice:
			if fv.Len() == 0 {
				continue
			}
		case reflect.String:
			if fv.Len() == 0 {
				continue
			}
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.Name}, encodeValue(fv))
	}
	return n
}

// applies tells whether the field has a meaning beside its neighbours' values.
func (f Field) applies(section reflect.Value, fields []Field) bool {
	name, values := f.Condition()
	if name == "" {
		return true
	}
	for _, g := range fields {
		if g.Name == name {
			return slices.Contains(values, section.FieldByIndex(g.index).String())
		}
	}
	panic("jobspec: " + f.GoName + " depends on an unknown field " + name)
}

func encodeValue(v reflect.Value) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text} }
	switch x := v.Interface().(type) {
	case Size:
		return scalar("", x.String())
	case Duration:
		return scalar("!!str", x.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		return encodeSection(v)
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		if kind := v.Type().Elem().Kind(); kind == reflect.Float64 || kind == reflect.Int {
			list.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			list.Content = append(list.Content, encodeValue(v.Index(i)))
		}
		return list
	case reflect.Map:
		var n yaml.Node
		if err := n.Encode(v.Interface()); err != nil {
			panic("jobspec: encoding labels: " + err.Error())
		}
		return &n
	case reflect.String:
		var n yaml.Node
		n.SetString(v.String())
		return &n
	case reflect.Bool:
		return scalar("!!bool", strconv.FormatBool(v.Bool()))
	case reflect.Int:
		return scalar("!!int", strconv.FormatInt(v.Int(), 10))
	case reflect.Uint64:
		return scalar("!!int", strconv.FormatUint(v.Uint(), 10))
	case reflect.Float64:
		return scalar("", formatFloat(v.Float()))
	}
	panic(fmt.Sprintf("jobspec: no encoder for %s", v.Type()))
}

// formatFloat is the shortest decimal that reads back as x.
func formatFloat(x float64) string {
	if a := math.Abs(x); a >= 1e-4 && a < 1e15 || a == 0 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'e', -1, 64)
}
