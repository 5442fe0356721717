package jobspec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var indexSuffix = regexp.MustCompile(`\[(\d+)\]`)

// override applies one "path=value" to the tree. The path's parts are separated by dots; elements of lists are numbered from 0, as
// transforms[0] or transforms.0. The value is YAML. Sections on the way are made when they are missing.
func (d *decoder) override(root *yaml.Node, override string, order int) {
	p := place{file: "--set " + withoutCredentials(override), order: order}
	path, text, ok := strings.Cut(override, "=")
	if !ok || path == "" {
		d.fail(p, "", "is not an override", "path=value, for example spec.training.epochs=1", "")
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		d.fail(p, path, "the value is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "), "", "")
		return
	}
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if len(doc.Content) == 1 {
		value = doc.Content[0]
	}
	d.mark(value, p)

	parts := strings.Split(indexSuffix.ReplaceAllString(path, ".$1"), ".")
	at, node := "", root
	for i, part := range parts {
		last := i == len(parts)-1
		switch node.Kind {
		case yaml.SequenceNode:
			index, err := strconv.Atoi(part)
			at = fmt.Sprintf("%s[%s]", at, part)
			if err != nil || index < 0 || index >= len(node.Content) {
				d.fail(p, at, "there is no such element", fmt.Sprintf("an index below %d", len(node.Content)), "")
				return
			}
			if last {
				node.Content[index] = value
				return
			}
			node = d.openSection(&node.Content[index], p)
		case yaml.MappingNode:
			at = join(at, part)
			slot := d.slot(node, part, p)
			if last {
				*slot = value
				return
			}
			if _, err := strconv.Atoi(parts[i+1]); err == nil && isNull(*slot) {
				d.fail(p, at, "is empty and has no element "+parts[i+1], "", "")
				return
			}
			node = d.openSection(slot, p)
		default:
			d.fail(p, at, "is "+describeNode(node)+" and has no field "+part, "", "")
			return
		}
	}
}

// slot finds the value under key in a mapping; it appends the key when it is missing.
func (d *decoder) slot(mapping *yaml.Node, key string, p place) **yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return &mapping.Content[i+1]
		}
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	null := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	d.mark(name, p)
	d.mark(null, p)
	mapping.Content = append(mapping.Content, name, null)
	return &mapping.Content[len(mapping.Content)-1]
}

// openSection makes an empty mapping of an empty value.
func (d *decoder) openSection(slot **yaml.Node, p place) *yaml.Node {
	if isNull(*slot) {
		*slot = &yaml.Node{Kind: yaml.MappingNode}
		d.mark(*slot, p)
	}
	return *slot
}

// mark records that a tree came from an override.
func (d *decoder) mark(n *yaml.Node, p place) {
	d.origin[n] = p
	for _, child := range n.Content {
		d.mark(child, p)
	}
}
