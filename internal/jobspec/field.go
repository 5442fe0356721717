package jobspec

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Field is one field of a section of the job file, as its tags describe it.
type Field struct {
	Name     string
	GoName   string
	Owner    reflect.Type // struct that declares it; differs from the section's for inlined fields
	Type     reflect.Type
	Default  string
	Derived  string
	Required bool
	Range    string
	Enum     []string
	Len      int
	Unit     string
	Only     string // "neighbour=value|value", or empty

	index []int
}

// Fields lists the fields of a section (a struct type of this package) in the order of their declaration, inlined ones in place.
func Fields(t reflect.Type) []Field {
	var list []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, option, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if option == "inline" {
			for _, f := range Fields(sf.Type) {
				f.index = append([]int{i}, f.index...)
				list = append(list, f)
			}
			continue
		}
		f := Field{
			Name:     name,
			GoName:   sf.Name,
			Owner:    t,
			Type:     sf.Type,
			Default:  sf.Tag.Get("default"),
			Derived:  sf.Tag.Get("derived"),
			Required: sf.Tag.Get("required") == "true",
			Range:    sf.Tag.Get("range"),
			Enum:     enumValues(sf.Tag.Get("enum")),
			Unit:     sf.Tag.Get("unit"),
			Only:     onlyValue(sf.Tag.Get("only"), name),
			index:    []int{i},
		}
		if s := sf.Tag.Get("len"); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				panic("jobspec: malformed len tag on " + t.Name() + "." + sf.Name)
			}
			f.Len = n
		}
		list = append(list, f)
	}
	return list
}

func enumValues(tag string) []string {
	switch tag {
	case "":
		return nil
	case "@models":
		var names []string
		for _, m := range models {
			names = append(names, m.Name)
		}
		return names
	case "@tasks":
		var names []string
		for _, t := range tasks {
			names = append(names, t.Name)
		}
		return names
	case "@losses":
		var names []string
		for _, t := range tasks {
			for _, loss := range t.Losses {
				if !slices.Contains(names, loss) {
					names = append(names, loss)
				}
			}
		}
		return names
	}
	return strings.Split(tag, ",")
}

// onlyValue is what an only tag stands for on the field of that name.
func onlyValue(tag, field string) string {
	if tag != "@tasks" {
		return tag
	}
	var names []string
	for _, t := range tasks {
		if t.Has(field) {
			names = append(names, t.Name)
		}
	}
	if len(names) == len(tasks) {
		return ""
	}
	return "name=" + strings.Join(names, "|")
}

// Condition is what Only says: the values of a neighbour beside which the field has a meaning. The neighbour is "" where it always has one.
func (f Field) Condition() (neighbour string, values []string) {
	neighbour, list, ok := strings.Cut(f.Only, "=")
	if !ok {
		return "", nil
	}
	return neighbour, strings.Split(list, "|")
}

// IsSection tells whether values of t are maps with named fields.
func IsSection(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// Describe says in words what a value of the field must be.
func (f Field) Describe() string {
	var s string
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case len(f.Enum) == 1:
		return f.Enum[0]
	case len(f.Enum) > 1:
		return "one of " + strings.Join(f.Enum, ", ")
	case t == reflect.TypeFor[Transform]() || t.Kind() == reflect.Struct:
		return "a map"
	case t == reflect.TypeFor[Size]():
		return f.bounded("a size such as 4Mi", showSize)
	case t == reflect.TypeFor[Duration]():
		return f.bounded("a duration such as 500ms or 2s", showSeconds)
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "a map from text to text"
	case reflect.Int, reflect.Uint64:
		s = "a whole number"
		if f.Type.Kind() == reflect.Uint64 && f.Range == "" {
			return s + " ≥ 0"
		}
	case reflect.Float64:
		s = "a number"
	case reflect.Slice:
		switch {
		case t.Elem().Kind() == reflect.Struct:
			return "a list of maps"
		case t.Elem().Kind() == reflect.Int:
			s = "a list of whole numbers"
		case f.Len > 0:
			s = "a list of " + strconv.Itoa(f.Len) + " numbers"
		default:
			s = "a list of numbers"
		}
	}
	return f.bounded(s, showNumber)
}

func (f Field) bounded(what string, show func(float64) string) string {
	if f.Range == "" {
		return what
	}
	return what + " " + parseInterval(f.Range).describe(show)
}
